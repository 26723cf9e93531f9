//! The examples of `docs/api.md` are run as they stand there, one after the other, and their answers compared.
//!
//! A block of `sh` is run by a shell; the block of `json` or `text` behind it is what must come out. The text `…` stands for
//! anything.

use std::process::Command;

use serde_json::Value;

use crate::support::House;

/// A block of commands, and the kind and text of the block that follows it.
struct Example {
    commands: String,
    kind: String,
    expected: String,
}

#[test]
fn every_example_of_the_api_page_answers_as_it_says() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md")).unwrap();
    let examples = examples(&page);
    assert!(examples.len() > 10, "the page has examples");
    let house = House::open();
    for example in examples {
        let output = Command::new("sh")
            .args(["-euc", &example.commands])
            .env("TIDEGATE", format!("http://{}", house.address))
            .output()
            .expect("a shell and curl are there");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}\n{}", example.commands, String::from_utf8_lossy(&output.stderr));
        if example.kind == "json" {
            check(&example, &said);
        } else {
            assert_eq!(said, example.expected, "{}", example.commands);
        }
    }
}

/// Compares values one by one; several commands answer several.
fn check(example: &Example, said: &str) {
    let values = |text: &str| -> Vec<Value> {
        serde_json::Deserializer::from_str(text)
            .into_iter()
            .collect::<Result<_, _>>()
            .unwrap_or_else(|error| panic!("{}\n{text}\n{error}", example.commands))
    };
    let (said, expected) = (values(said), values(&example.expected));
    let same = said.len() == expected.len()
        && said.iter().zip(&expected).all(|(said, expected)| fits(said, expected));
    let shown = |values: &[Value]| values.iter().map(|value| format!("{value:#}\n")).collect::<String>();
    assert!(same, "{}\nsays\n{}\nand not\n{}", example.commands, shown(&said), shown(&expected));
}

fn fits(said: &Value, expected: &Value) -> bool {
    match (said, expected) {
        (_, Value::String(any)) if any == "…" => true,
        (Value::Object(said), Value::Object(expected)) => {
            said.len() == expected.len()
                && expected.iter().all(|(name, value)| said.get(name).is_some_and(|said| fits(said, value)))
        }
        (Value::Array(said), Value::Array(expected)) => {
            said.len() == expected.len()
                && said.iter().zip(expected).all(|(said, expected)| fits(said, expected))
        }
        (said, expected) => said == expected,
    }
}

/// The page's blocks of commands with the blocks behind them.
fn examples(page: &str) -> Vec<Example> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let text: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push((kind.to_owned(), text));
        }
    }
    let with_next = blocks.windows(2).filter(|pair| pair[0].0 == "sh");
    let examples: Vec<Example> = with_next
        .map(|pair| Example {
            commands: pair[0].1.clone(),
            kind: pair[1].0.clone(),
            expected: pair[1].1.clone(),
        })
        .collect();
    assert_eq!(
        examples.len(),
        blocks.iter().filter(|(kind, _)| kind == "sh").count(),
        "every example has its answer"
    );
    assert!(examples.iter().all(|example| example.kind != "sh"), "every example has its answer");
    examples
}
