//! What a client may ask of the store.

use nostr::filter::Filter;
use relay_policy::Refusal;
use tokio::sync::OwnedSemaphorePermit;

use super::Client;
use crate::relay::subscriptions::{Ticket, values_in};

/// A question to the store.
#[derive(Debug)]
pub(super) enum Question {
    /// The stored part of a `REQ`.
    Stored(Ticket),
    /// A `COUNT`, by its name.
    Count(String, Vec<Filter>),
}

/// A question that waits for its turn, and the room its values take meanwhile: a `COUNT`
/// or a replaced `REQ` is no open subscription, and would be bounded by nothing else.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) question: Question,
    pub(super) _room: OwnedSemaphorePermit,
}

impl Question {
    /// Counts the values of its filters, `most` at most, so that one always has room.
    pub(super) fn values(&self, most: usize) -> u32 {
        let filters = match self {
            Self::Stored(ticket) => ticket.filters(),
            Self::Count(_, filters) => filters,
        };
        let values = filters.iter().map(values_in).fold(0, usize::saturating_add);
        u32::try_from(values.min(most)).unwrap_or(u32::MAX)
    }
}

impl Client<'_> {
    /// Judges a `REQ`, and opens its subscription.
    pub(super) fn open(self, name: &str, filters: Vec<Filter>) -> Result<Question, Refusal> {
        let limits = self.relay.limits();
        self.admit(name, &filters)?;
        let filters = filters
            .into_iter()
            .map(|filter| within(filter, limits.max_limit))
            .collect();
        let opened = self.reader.open(name.to_owned(), filters);
        opened.map(Question::Stored)
    }

    /// Judges a `COUNT`: what may not be asked may not be counted.
    pub(super) fn count(self, name: &str, filters: Vec<Filter>) -> Result<Question, Refusal> {
        self.admit(name, &filters)?;
        Ok(Question::Count(name.to_owned(), filters))
    }

    fn admit(self, name: &str, filters: &[Filter]) -> Result<(), Refusal> {
        let limits = self.relay.limits();
        let chars = name.chars().count();
        if chars == 0 || chars > limits.subscription_id_chars {
            let most = limits.subscription_id_chars;
            return Err(Refusal::invalid(format!(
                "a subscription id has 1 to {most} characters"
            )));
        }
        if filters.len() > limits.filters_per_req {
            let most = limits.filters_per_req;
            return Err(Refusal::invalid(format!("over {most} filters at once")));
        }
        if filters
            .iter()
            .any(|filter| values_in(filter) > limits.values_per_filter)
        {
            let most = limits.values_per_filter;
            return Err(Refusal::invalid(format!(
                "over {most} values in one filter"
            )));
        }
        if filters.iter().any(|filter| filter.search.is_some()) {
            return Err(Refusal::invalid("search is not supported"));
        }
        let reading = &self.relay.inner.parts.reading;
        reading.admit(self.session, filters)
    }
}

fn within(filter: Filter, max_limit: usize) -> Filter {
    Filter {
        limit: Some(filter.limit.unwrap_or(max_limit).min(max_limit)),
        ..filter
    }
}
