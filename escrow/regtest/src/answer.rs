//! What a node says, as JSON of its command line program.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::{RegtestError, Result};

/// No question takes longer, unless the node or its chain hangs.
const QUESTION_TIME: Duration = Duration::from_secs(20);

/// The answer to one command.
pub struct Answer {
    name: String,
    command: String,
    said: String,
    json: Value,
}

/// Runs a command to its end and reads what it prints.
pub(crate) async fn ask(name: &str, asked: &[&str], mut program: Command) -> Result<Answer> {
    let command = asked.join(" ");
    let refused = |said: String| RegtestError::Refused {
        name: name.to_owned(),
        command: command.clone(),
        said,
    };
    program.args(asked).stdin(Stdio::null()).kill_on_drop(true);
    let ran = timeout(QUESTION_TIME, program.output()).await;
    let ran = ran.map_err(|_| refused(format!("no answer in {} s", QUESTION_TIME.as_secs())))?;
    let ran = ran.map_err(RegtestError::system(format!("run the client of {name}")))?;
    if !ran.status.success() {
        let said = [ran.stderr, ran.stdout].concat();
        return Err(refused(String::from_utf8_lossy(&said).trim().to_owned()));
    }
    let said = String::from_utf8_lossy(&ran.stdout).trim().to_owned();
    // A bare word, such as a height or a hash, is an answer too.
    let json = serde_json::from_str(&said).unwrap_or_else(|_| Value::String(said.clone()));
    Ok(Answer {
        name: name.to_owned(),
        command,
        said,
        json,
    })
}

impl Answer {
    /// The whole answer.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The text at a JSON pointer such as `/channels/0/active`.
    ///
    /// # Errors
    /// [`RegtestError::Unreadable`] if there is none.
    pub fn text(&self, pointer: &str) -> Result<&str> {
        let found = self.json.pointer(pointer).and_then(Value::as_str);
        found.ok_or_else(|| self.lacks(pointer))
    }

    /// The number at a JSON pointer; LND writes the large ones as text.
    ///
    /// # Errors
    /// [`RegtestError::Unreadable`] if there is none.
    pub fn number(&self, pointer: &str) -> Result<u64> {
        let found = self.json.pointer(pointer);
        let found = found.and_then(|found| match found.as_str() {
            Some(digits) => digits.parse().ok(),
            None => found.as_u64(),
        });
        found.ok_or_else(|| self.lacks(pointer))
    }

    /// Whether the answer says yes at a JSON pointer.
    #[must_use]
    pub fn is_true(&self, pointer: &str) -> bool {
        self.json.pointer(pointer).and_then(Value::as_bool) == Some(true)
    }

    /// The list at a JSON pointer; none is an empty one.
    #[must_use]
    pub fn list(&self, pointer: &str) -> &[Value] {
        let found = self.json.pointer(pointer).and_then(Value::as_array);
        found.map(Vec::as_slice).unwrap_or_default()
    }

    fn lacks(&self, pointer: &str) -> RegtestError {
        RegtestError::Unreadable {
            name: self.name.clone(),
            command: self.command.clone(),
            missing: pointer.to_owned(),
            said: self.said.clone(),
        }
    }
}
