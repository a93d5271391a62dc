//! What the box says to everybody.

use anyhow::{Context, ensure};
use nostr::event::Event;
use uuid::Uuid;

use super::storyteller::Storyteller;
use crate::trader::Seat;

/// A tag and all its values.
pub(super) type Said<'a> = (&'a str, &'a [&'a str]);

/// The newest revision of an order in the book must say all of this.
pub(super) fn book_says(
    order: Uuid,
    reader: &Seat<'_>,
    wanted: &[Said<'_>],
    teller: &mut Storyteller,
) -> anyhow::Result<()> {
    let event = reader.newest_revision(order);
    must_say(event.context("the order is not in the book")?, wanted)?;
    let said: Vec<_> = wanted
        .iter()
        .map(|(tag, values)| format!("{tag} {}", values.join(" ")))
        .collect();
    teller.checks(&format!("the book says {}", said.join(", ")));
    Ok(())
}

/// An event must have each of these tags, with exactly these values.
pub(super) fn must_say(event: &Event, wanted: &[Said<'_>]) -> anyhow::Result<()> {
    for (name, values) in wanted {
        let tag = event.tags.iter().find_map(|tag| match tag.as_slice() {
            [key, said @ ..] if key == name => Some(said),
            _ => None,
        });
        let said = tag.unwrap_or_default();
        ensure!(
            said == *values,
            "tag {name} of kind {} says {said:?} and not {values:?}",
            event.kind.as_u16()
        );
    }
    Ok(())
}
