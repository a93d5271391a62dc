//! What the `OK` of a relay means for the event.

/// What a relay made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it, or a newer revision.
    Stored,
    /// Not now; the whole line shall pause.
    RateLimited,
    /// Not before the node has proven its key.
    AuthRequired,
    /// It will never take this event, for this reason.
    Refused(String),
    /// It failed, or does not say why.
    Failed(String),
}

impl Answer {
    pub(super) fn read(accepted: bool, text: &str) -> Answer {
        if accepted {
            return Answer::Stored;
        }
        let prefix = text.split_once(':').map_or("", |(prefix, _)| prefix.trim());
        match prefix {
            // Some relays say no to what they have already, or have newer.
            "duplicate" | "replaced" => Answer::Stored,
            "rate-limited" => Answer::RateLimited,
            "auth-required" => Answer::AuthRequired,
            "error" => Answer::Failed(text.to_owned()),
            one_word if !one_word.is_empty() && !one_word.contains(char::is_whitespace) => {
                Answer::Refused(text.to_owned())
            }
            _ => Answer::Failed(text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ok_is_understood() {
        let refused = |text: &str| Answer::Refused(text.to_owned());
        let failed = |text: &str| Answer::Failed(text.to_owned());
        let table = [
            (true, "", Answer::Stored),
            (true, "duplicate: have it", Answer::Stored),
            (false, "duplicate: have it", Answer::Stored),
            (false, "replaced: have newer event", Answer::Stored),
            (false, "rate-limited: slow down", Answer::RateLimited),
            (false, "auth-required: who are you", Answer::AuthRequired),
            (false, "blocked: no", refused("blocked: no")),
            (false, "pow: 20 bits", refused("pow: 20 bits")),
            (false, "invalid: what", refused("invalid: what")),
            (false, "restricted: paid", refused("restricted: paid")),
            (
                false,
                "mute: nobody listens",
                refused("mute: nobody listens"),
            ),
            (false, "error: disk", failed("error: disk")),
            (false, "we are sorry: no", failed("we are sorry: no")),
            (false, "no", failed("no")),
            (false, "", failed("")),
        ];
        for (accepted, text, answer) in table {
            assert_eq!(Answer::read(accepted, text), answer, "{accepted} {text}");
        }
    }
}
