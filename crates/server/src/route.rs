//! From method and path to a call.
//!
//! One match on slices of the path: nothing to build, nothing to look up, and all there is on one screen. A test holds
//! it to the table of operations in both directions.

use std::borrow::Cow;

use http::Method;
use http::header::{ALLOW, HeaderValue};
use percent_encoding::percent_decode_str;
use tidegate_api::nearest::nearest;
use tidegate_api::operations::OPERATIONS;
use tidegate_api::refusal::{Code, Refusal};
use tidegate_api::syntax::POOL_WORDS;

use crate::reply::{Reply, problem};

/// Declares the calls, each with the name of its operation.
macro_rules! calls {
    ($($call:ident = $operation:literal,)*) => {
        /// What can be asked of the door.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Call {
            $($call,)*
        }

        #[cfg(test)]
        impl Call {
            const ALL: &'static [(Call, &'static str)] = &[$((Call::$call, $operation),)*];
        }
    };
}

calls! {
    Enqueue = "enqueue",
    Lease = "lease",
    Complete = "complete",
    Fail = "fail",
    Extend = "extend",
    Release = "release",
    Work = "work",
    Transact = "transact",
    GetJob = "get_job",
    ListJobs = "list_jobs",
    CancelJob = "cancel_job",
    EditJob = "edit_job",
    ListQueues = "list_queues",
    GetQueue = "get_queue",
    ConfigureQueue = "configure_queue",
    PauseQueue = "pause_queue",
    ResumeQueue = "resume_queue",
    ListDead = "list_dead",
    ListCauses = "list_causes",
    RedriveDead = "redrive_dead",
    DeleteDead = "delete_dead",
    ConfigurePool = "configure_pool",
    GetPool = "get_pool",
    DeletePool = "delete_pool",
    ListPools = "list_pools",
    WatchPools = "watch_pools",
    ResizePool = "resize_pool",
    ListGrants = "list_grants",
    ListLine = "list_line",
    ListEntrants = "list_entrants",
    Hold = "hold",
    Take = "take",
    Join = "join",
    Leave = "leave",
    RequestPools = "request_pools",
    GetGrant = "get_grant",
    ConfirmGrant = "confirm_grant",
    ExtendGrant = "extend_grant",
    ReleaseGrant = "release_grant",
    SwapGrant = "swap_grant",
    GetHolder = "get_holder",
    Live = "live",
    Ready = "ready",
    OpenApi = "openapi",
}

/// A call, and what varies in its path: the name of a queue, a pool or a holder, or the id of a job or a grant, not yet checked. Empty where nothing varies.
pub(crate) type Routed<'a> = (Call, Cow<'a, str>);

/// The longest path has so many parts.
const PARTS_MAX: usize = 5;

/// Finds the call; none if the path and the method do not go together.
pub(crate) fn route<'a>(method: &Method, path: &'a str) -> Option<Routed<'a>> {
    let mut parts = [""; PARTS_MAX];
    let mut count = 0;
    for part in path.strip_prefix('/')?.split('/') {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    let (call, variable) = match (verb(method)?, &parts[..count]) {
        (Verb::Post, &["v1", "queues", queue, "jobs"]) => (Call::Enqueue, queue),
        (Verb::Post, ["v1", "work"]) => (Call::Work, ""),
        (Verb::Post, ["v1", "transactions"]) => (Call::Transact, ""),
        (Verb::Post, ["v1", "leases"]) => (Call::Lease, ""),
        (Verb::Post, ["v1", "jobs", "complete"]) => (Call::Complete, ""),
        (Verb::Post, ["v1", "jobs", "fail"]) => (Call::Fail, ""),
        (Verb::Post, ["v1", "jobs", "extend"]) => (Call::Extend, ""),
        (Verb::Post, ["v1", "jobs", "release"]) => (Call::Release, ""),
        (Verb::Get, &["v1", "jobs", id]) if !SETTLING.contains(&id) => (Call::GetJob, id),
        (Verb::Get, ["v1", "jobs"]) => (Call::ListJobs, ""),
        (Verb::Post, &["v1", "jobs", id, "cancel"]) => (Call::CancelJob, id),
        (Verb::Post, &["v1", "jobs", id, "edit"]) => (Call::EditJob, id),
        (Verb::Get, ["v1", "queues"]) => (Call::ListQueues, ""),
        (Verb::Get, &["v1", "queues", queue]) => (Call::GetQueue, queue),
        (Verb::Put, &["v1", "queues", queue]) => (Call::ConfigureQueue, queue),
        (Verb::Post, &["v1", "queues", queue, "pause"]) => (Call::PauseQueue, queue),
        (Verb::Post, &["v1", "queues", queue, "resume"]) => (Call::ResumeQueue, queue),
        (Verb::Get, &["v1", "queues", queue, "dead"]) => (Call::ListDead, queue),
        (Verb::Get, &["v1", "queues", queue, "dead", "causes"]) => (Call::ListCauses, queue),
        (Verb::Post, &["v1", "queues", queue, "dead", "redrive"]) => (Call::RedriveDead, queue),
        (Verb::Post, &["v1", "queues", queue, "dead", "delete"]) => (Call::DeleteDead, queue),
        (Verb::Post, &["v1", "pools", pool, "hold"]) => (Call::Hold, pool),
        (Verb::Post, &["v1", "pools", pool, "take"]) => (Call::Take, pool),
        (Verb::Post, &["v1", "pools", pool, "join"]) => (Call::Join, pool),
        (Verb::Post, &["v1", "pools", pool, "leave"]) => (Call::Leave, pool),
        (Verb::Post, ["v1", "pools", "requests"]) => (Call::RequestPools, ""),
        (Verb::Get, ["v1", "pools"]) => (Call::ListPools, ""),
        (Verb::Get, ["v1", "pools", "watch"]) => (Call::WatchPools, ""),
        (Verb::Get, &["v1", "pools", pool]) if !POOL_WORDS.contains(&pool) => (Call::GetPool, pool),
        (Verb::Put, &["v1", "pools", pool]) if !POOL_WORDS.contains(&pool) => (Call::ConfigurePool, pool),
        (Verb::Delete, &["v1", "pools", pool]) if !POOL_WORDS.contains(&pool) => (Call::DeletePool, pool),
        (Verb::Post, &["v1", "pools", pool, "resize"]) => (Call::ResizePool, pool),
        (Verb::Get, &["v1", "pools", pool, "grants"]) => (Call::ListGrants, pool),
        (Verb::Get, &["v1", "pools", pool, "line"]) => (Call::ListLine, pool),
        (Verb::Get, &["v1", "pools", pool, "entrants"]) => (Call::ListEntrants, pool),
        (Verb::Get, &["v1", "grants", id]) => (Call::GetGrant, id),
        (Verb::Post, &["v1", "grants", id, "confirm"]) => (Call::ConfirmGrant, id),
        (Verb::Post, &["v1", "grants", id, "extend"]) => (Call::ExtendGrant, id),
        (Verb::Post, &["v1", "grants", id, "release"]) => (Call::ReleaseGrant, id),
        (Verb::Post, &["v1", "grants", id, "swap"]) => (Call::SwapGrant, id),
        (Verb::Get, &["v1", "holders", holder]) => (Call::GetHolder, holder),
        (Verb::Get, ["healthz"]) => (Call::Live, ""),
        (Verb::Get, ["readyz"]) => (Call::Ready, ""),
        (Verb::Get, ["openapi.json"]) => (Call::OpenApi, ""),
        _ => return None,
    };
    // Some clients encode more than they must, a colon for one.
    let variable = percent_decode_str(variable).decode_utf8().unwrap_or(Cow::Borrowed(variable));
    Some((call, variable))
}

/// Words that stand where a job's id could.
const SETTLING: [&str; 4] = ["complete", "fail", "extend", "release"];

/// The methods there are. `HEAD` is `GET`, whose body is left out when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

fn verb(method: &Method) -> Option<Verb> {
    match *method {
        Method::GET | Method::HEAD => Some(Verb::Get),
        Method::POST => Some(Verb::Post),
        Method::PUT => Some(Verb::Put),
        Method::DELETE => Some(Verb::Delete),
        _ => None,
    }
}

/// The answer where no call was found: the path is not served, or not with this method.
pub(crate) fn nowhere(method: &Method, path: &str) -> Reply {
    let takes = |candidate: &Method| route(candidate, path).is_some();
    let allowed: Vec<&str> = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE]
        .iter()
        .filter(|candidate| takes(candidate))
        .map(|candidate| match *candidate {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            _ => "DELETE",
        })
        .collect();
    if allowed.is_empty() {
        let paths = OPERATIONS.iter().map(|operation| operation.path);
        let detail = match nearest(path, paths) {
            Some(nearest) => format!("Nothing is served at this path; did you mean {nearest}?"),
            None => "Nothing is served at this path; /openapi.json lists what is.".to_owned(),
        };
        return problem(Refusal::new(Code::NotFound, detail));
    }
    let allowed = allowed.join(", ");
    let detail = format!("This path does not take {method}; it takes {allowed}.");
    let refusal = Refusal { allowed: Some(allowed.clone()), ..Refusal::new(Code::MethodNotAllowed, detail) };
    let mut reply = problem(refusal);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_str(&allowed).expect("methods are plain text"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_call_and_every_call_its_operation() {
        for operation in OPERATIONS {
            let variables =
                [("{queue}", "emails"), ("{pool}", "seats@autumn"), ("{holder}", "anna"), ("{id}", "0-42")];
            let path = variables
                .iter()
                .fold(operation.path.to_owned(), |path, (name, value)| path.replace(name, value));
            let method = operation.method.parse().unwrap();
            let (call, variable) =
                route(&method, &path).unwrap_or_else(|| panic!("{} is not routed", operation.id));
            assert!(Call::ALL.contains(&(call, operation.id)), "{} is routed to {call:?}", operation.id);
            let in_path = variables.iter().find(|(name, _)| operation.path.contains(name));
            assert_eq!(variable, in_path.map_or("", |(_, value)| value), "{}", operation.id);
        }
        for (call, operation) in Call::ALL {
            assert!(OPERATIONS.iter().any(|candidate| candidate.id == *operation), "{call:?} is in no table");
        }
        assert_eq!(Call::ALL.len(), OPERATIONS.len());
    }

    #[test]
    fn what_is_encoded_more_than_it_must_be_is_understood() {
        assert_eq!(route(&Method::GET, "/v1/queues/a%3Ab"), Some((Call::GetQueue, "a:b".into())));
        assert_eq!(route(&Method::GET, "/v1/queues/%ff"), Some((Call::GetQueue, "%ff".into())));
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in [
            "",
            "/",
            "//",
            "/v1",
            "/v1/",
            "/v1/queues/",
            "/v1/queues/a/",
            "/v1/queues/a/jobs/",
            "/v1/nothing",
            "/v2/queues",
            "/v1/queues/a/dead/causes/b/c/d",
            "/V1/queues",
            "*",
            "v1/queues",
        ] {
            // A queue without a name is a queue whose name is refused.
            let is_nameless = path == "/v1/queues/";
            assert_eq!(route(&Method::GET, path).is_some(), is_nameless, "{path}");
        }
        assert_eq!(route(&Method::DELETE, "/v1/queues/a"), None);
    }
}
