//! What a server behind an address answers (LUD-06, LUD-12, LUD-16, LUD-18).

use escrow_core::Msat;
use escrow_core::lightning::Sendable;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{LnurlError, Wanted};

/// Longest URL that is called back, in bytes.
const LONGEST_CALLBACK: usize = 2_048;

/// What an address offers.
#[derive(Debug)]
pub(super) struct PayRequest {
    /// Where an invoice is to be had. Its host is not judged yet.
    pub(super) callback: Url,
    pub(super) sendable: Sendable,
    comment_allowed: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenPayRequest {
    tag: String,
    callback: String,
    min_sendable: u64,
    max_sendable: u64,
    comment_allowed: Option<usize>,
    payer_data: Option<Value>,
}

#[derive(Deserialize)]
struct WrittenInvoice {
    pr: String,
}

/// Reads the first answer: what the address takes.
pub(super) fn pay_request(body: &[u8]) -> Result<PayRequest, LnurlError> {
    let written: WrittenPayRequest = read(body)?;
    if written.tag != "payRequest" {
        return Err(LnurlError::Nonsense("it does not take payments"));
    }
    if written.payer_data.as_ref().is_some_and(wants_a_name) {
        return Err(LnurlError::Nonsense("it wants to know who pays"));
    }
    let sendable = Sendable {
        least: Msat(written.min_sendable),
        most: Msat(written.max_sendable),
    };
    if sendable.least > sendable.most || sendable.most == Msat(0) {
        return Err(LnurlError::Nonsense("it takes no amount at all"));
    }
    if written.callback.len() > LONGEST_CALLBACK {
        return Err(LnurlError::Nonsense("its callback is too long"));
    }
    let callback = Url::parse(&written.callback);
    Ok(PayRequest {
        callback: callback.map_err(|_| LnurlError::Nonsense("its callback is no URL"))?,
        sendable,
        comment_allowed: written.comment_allowed.unwrap_or(0),
    })
}

/// Reads the second answer: the invoice's text.
pub(super) fn invoice(body: &[u8]) -> Result<String, LnurlError> {
    read(body).map(|WrittenInvoice { pr }| pr)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, LnurlError> {
    let nonsense = |_| LnurlError::Nonsense("it is not the JSON that was asked for");
    let answer: Value = serde_json::from_slice(body).map_err(nonsense)?;
    let status = answer.get("status").and_then(Value::as_str);
    if status.is_some_and(|status| status.eq_ignore_ascii_case("ERROR")) {
        return Err(LnurlError::Declined);
    }
    serde_json::from_value(answer).map_err(nonsense)
}

fn wants_a_name(payer_data: &Value) -> bool {
    let is_mandatory = |field: &Value| field.get("mandatory") == Some(&Value::Bool(true));
    payer_data
        .as_object()
        .is_some_and(|fields| fields.values().any(is_mandatory))
}

impl PayRequest {
    /// The second question. What the callback says of amount and comment by
    /// itself does not count.
    pub(super) fn call(&self, wanted: Wanted<'_>) -> Url {
        let mut url = self.callback.clone();
        let own = |name: &str| name == "amount" || name == "comment";
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let fits = |comment: &&str| comment.chars().count() <= self.comment_allowed;
        url.query_pairs_mut()
            .clear()
            .extend_pairs(kept)
            .append_pair("amount", &wanted.amount.0.to_string())
            .extend_pairs(wanted.comment.filter(fits).map(|it| ("comment", it)));
        url.set_fragment(None);
        url
    }
}

#[cfg(test)]
mod tests {
    use escrow_core::UnixTime;
    use serde_json::json;

    use super::*;

    fn offer(edit: impl FnOnce(&mut Value)) -> Result<PayRequest, LnurlError> {
        let mut answer = json!({
            "tag": "payRequest", "callback": "https://wallet.example/cb",
            "minSendable": 1_000, "maxSendable": 100_000_000, "metadata": "[]",
            "commentAllowed": 5,
        });
        edit(&mut answer);
        pay_request(answer.to_string().as_bytes())
    }

    fn called(callback: &str, comment: Option<&str>) -> String {
        let offer = offer(|it| it["callback"] = callback.into()).unwrap();
        let wanted = Wanted {
            amount: Msat(42_000),
            comment,
            now: UnixTime(0),
        };
        offer.call(wanted).into()
    }

    #[test]
    fn p2_the_callback_is_asked_for_the_exact_amount() {
        let table = [
            ("https://w.example/cb", "https://w.example/cb?amount=42000"),
            (
                "https://w.example/cb?id=a%2Bb",
                "https://w.example/cb?id=a%2Bb&amount=42000",
            ),
            (
                "https://w.example/cb?amount=1&comment=x&id=7#amount=2",
                "https://w.example/cb?id=7&amount=42000",
            ),
        ];
        for (callback, url) in table {
            assert_eq!(called(callback, None), url);
        }
    }

    #[test]
    fn j3_a_comment_goes_along_only_where_it_fits() {
        let with = |comment| called("https://w.example/cb", Some(comment));
        assert_eq!(
            with("a & b"),
            "https://w.example/cb?amount=42000&comment=a+%26+b"
        );
        assert_eq!(with("too long"), "https://w.example/cb?amount=42000");
    }

    #[test]
    fn v5_an_answer_that_offers_nothing_is_refused() {
        type Edit = fn(&mut Value);
        let table: [(&str, Edit); 12] = [
            ("another tag", |it| it["tag"] = "withdrawRequest".into()),
            ("no tag", |it| it["tag"] = Value::Null),
            ("no callback", |it| it["callback"] = Value::Null),
            ("a callback that is none", |it| it["callback"] = "x".into()),
            ("a callback without end", |it| {
                it["callback"] = format!("https://w.example/{}", "a".repeat(2_048)).into();
            }),
            ("no least", |it| it["minSendable"] = Value::Null),
            ("a negative least", |it| it["minSendable"] = json!(-1)),
            ("more than a number", |it| it["maxSendable"] = json!(1e30)),
            ("a fraction", |it| it["maxSendable"] = json!(1.5)),
            ("less than the least", |it| it["maxSendable"] = json!(999)),
            ("nothing", |it| {
                it["minSendable"] = json!(0);
                it["maxSendable"] = json!(0);
            }),
            ("a name wanted", |it| {
                it["payerData"] =
                    json!({"name": {"mandatory": false}, "auth": {"mandatory": true}});
            }),
        ];
        for (case, edit) in table {
            let refused = offer(edit).unwrap_err();
            assert!(matches!(refused, LnurlError::Nonsense(_)), "{case}");
        }
        let declined = offer(|it| it["status"] = "error".into());
        assert_eq!(declined.unwrap_err(), LnurlError::Declined);
        let optional = offer(|it| it["payerData"] = json!({"name": {"mandatory": false}}));
        assert!(optional.is_ok());
        assert!(offer(|it| it["payerData"] = Value::Null).is_ok());
    }
}
