//! One value as the operator wrote it, and how it becomes what a key asks for.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

/// A value from the file, which has a type, or from the environment, which is
/// text and takes the type its key asks for.
///
/// No refusal repeats a text it was given: it might be a key.
pub(super) enum Value {
    Text(String),
    Whole(i128),
    Decimal(f64),
    Truth(bool),
    List(Vec<Value>),
    Variable(String),
    Foreign(&'static str),
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "each reader names the shapes it takes; every other shape is refused alike"
)]
impl Value {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => i128::from_str_radix(digits.as_str(), digits.radix())
                .map_or(Value::Foreign("a number too large"), Value::Whole),
            DeValue::Float(digits) => digits
                .as_str()
                .parse()
                .map_or(Value::Foreign("a number nobody can read"), Value::Decimal),
            DeValue::Boolean(truth) => Value::Truth(*truth),
            DeValue::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| Value::from_toml(item.get_ref()))
                    .collect(),
            ),
            DeValue::Datetime(_) => Value::Foreign("a date"),
            DeValue::Table(_) => Value::Foreign("a table"),
        }
    }

    /// Text that says something: not empty, not only blanks.
    pub(super) fn text(&self) -> Result<String, String> {
        let text = self.any_text()?;
        if text.trim().is_empty() {
            Err("must not be empty".to_owned())
        } else {
            Ok(text)
        }
    }

    /// Text, trimmed; an empty one means "not set".
    pub(super) fn optional_text(&self) -> Result<Option<String>, String> {
        let text = self.any_text()?.trim().to_owned();
        Ok((!text.is_empty()).then_some(text))
    }

    /// Text that reads as a `T`, described for the refusal as `what`.
    pub(super) fn parsed<T: FromStr>(&self, what: &str) -> Result<T, String> {
        self.any_text()?
            .trim()
            .parse()
            .map_err(|_| format!("must be {what}"))
    }

    /// A whole number within `bounds`.
    pub(super) fn whole<T>(&self, bounds: RangeInclusive<T>) -> Result<T, String>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let number = match self {
            Value::Whole(number) => *number,
            Value::Variable(text) => text
                .trim()
                .parse()
                .map_err(|_| "must be a whole number".to_owned())?,
            other => return Err(other.is_not("a whole number")),
        };
        T::try_from(number)
            .ok()
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| {
                format!(
                    "must be from {} to {}, not {number}",
                    bounds.start(),
                    bounds.end()
                )
            })
    }

    /// A time in whole seconds, within `bounds`.
    pub(super) fn seconds(&self, bounds: RangeInclusive<u64>) -> Result<Duration, String> {
        self.whole(bounds).map(Duration::from_secs)
    }

    /// A share of the whole, `0.01` for one per cent, within `bounds`.
    pub(super) fn share(&self, bounds: RangeInclusive<f64>) -> Result<f64, String> {
        self.number(bounds, "0.006")
    }

    /// A number within `bounds`, such as `example`.
    pub(super) fn number(&self, bounds: RangeInclusive<f64>, example: &str) -> Result<f64, String> {
        let wanted = format!("a number such as {example}");
        let number = match self {
            Value::Decimal(number) => *number,
            Value::Whole(whole) => match i32::try_from(*whole) {
                Ok(whole) => f64::from(whole),
                Err(_) => return Err(outside(&bounds, whole)),
            },
            Value::Variable(text) => text
                .trim()
                .parse()
                .map_err(|_| format!("must be {wanted}"))?,
            other => return Err(other.is_not(&wanted)),
        };
        // NaN lies in no range, so it is refused here as well; adding zero
        // makes a negative zero positive, which would be announced as "-0".
        if bounds.contains(&number) {
            Ok(number + 0.0)
        } else {
            Err(outside(&bounds, &number))
        }
    }

    pub(super) fn truth(&self) -> Result<bool, String> {
        match self {
            Value::Truth(truth) => Ok(*truth),
            Value::Variable(text) => text
                .trim()
                .parse()
                .map_err(|_| "must be true or false".to_owned()),
            other => Err(other.is_not("true or false")),
        }
    }

    /// A list of texts; in the environment they are separated by commas.
    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        match self {
            Value::List(items) => items.iter().map(Value::text).collect(),
            Value::Variable(text) => Ok(text
                .split(',')
                .map(|item| item.trim().to_owned())
                .filter(|item| !item.is_empty())
                .collect()),
            other => Err(other.is_not("a list of texts")),
        }
    }

    fn any_text(&self) -> Result<String, String> {
        match self {
            Value::Text(text) | Value::Variable(text) => Ok(text.clone()),
            other => Err(other.is_not("text in quotes")),
        }
    }

    fn is_not(&self, wanted: &str) -> String {
        let found = match self {
            Value::Text(_) | Value::Variable(_) => "text",
            Value::Whole(_) => "a whole number",
            Value::Decimal(_) => "a decimal number",
            Value::Truth(_) => "true or false",
            Value::List(_) => "a list",
            Value::Foreign(what) => what,
        };
        format!("must be {wanted}, not {found}")
    }
}

fn outside(bounds: &RangeInclusive<f64>, found: &impl Display) -> String {
    format!(
        "must be from {} to {}, not {found}",
        bounds.start(),
        bounds.end()
    )
}
