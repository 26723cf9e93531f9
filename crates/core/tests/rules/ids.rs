//! A job's id as text: read back as it was written, and nothing else is read.

use tidegate_core::JobId;
use tidegate_core::id::NotAJobId;

#[test]
fn an_id_reads_back_as_it_was_written() {
    let last = (1 << 48) - 1;
    for (shard, sequence, text) in
        [(0, 1, "0-1"), (0, 42, "0-42"), (7, 100, "7-100"), (65_535, last, "65535-281474976710655")]
    {
        let id = JobId::new(shard, sequence);
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!((id.shard(), id.sequence()), (shard, sequence));
    }
}

#[test]
fn what_is_no_id_is_not_read() {
    for text in [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "0-0",
        "00-1",
        "0-01",
        "01-1",
        "+1-1",
        "1-+1",
        "0-1 ",
        " 0-1",
        "a-1",
        "0-a",
        "0-1-1",
        // A shard has 16 bits and a sequence 48.
        "65536-1",
        "0-281474976710656",
        "0-18446744073709551616",
    ] {
        assert_eq!(text.parse::<JobId>(), Err(NotAJobId), "{text}");
    }
    assert_eq!(NotAJobId.to_string(), "a job id looks like 0-42: shard, hyphen, sequence");
}
