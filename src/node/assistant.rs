//! The dispute assistant (rule A16): a program of the operator's that reads disputes
//! and talks to the parties, and must never be able to rule.

use escrow_core::party::{IdentityKey, TradeKey};
use escrow_core::solver::Permission;
use escrow_engine::EscrowHandle;
use nostr::key::PublicKey;
use storage::ledger::{StorageError, View};

use super::NodeError;
use crate::operator::{self, Act};

/// Registers the assistant as a solver who may only read.
///
/// # Errors
/// If the key is one that must not be his.
pub(super) async fn register(
    escrow: &EscrowHandle,
    node: PublicKey,
    assistant: PublicKey,
) -> Result<(), NodeError> {
    let refused = |why: &str| NodeError::Assistant(why.to_owned());
    if let Some(why) = objection(&escrow.views().view()?, node, assistant)? {
        return Err(refused(why));
    }
    let registered = operator::act(escrow, Act::AddSolver(format!("{assistant}:read"))).await;
    registered.map_err(|why| refused(&why.to_string()))
}

fn objection(
    view: &View,
    node: PublicKey,
    assistant: PublicKey,
) -> Result<Option<&'static str>, StorageError> {
    let identity = IdentityKey(assistant);
    if assistant == node {
        return Ok(Some("it is the node's own key, which may rule"));
    }
    let known = view.solver(identity)?;
    if known.is_some_and(|solver| solver.permission == Permission::ReadWrite) {
        return Ok(Some(
            "it is the key of a solver who may rule: remove him first",
        ));
    }
    let trades = view.trade_key_is_living(TradeKey(assistant))?;
    if trades || view.user(identity)?.is_some() {
        return Ok(Some("it is the key of a trader"));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use escrow_core::UnixTime;
    use escrow_core::party::TradeIndex;
    use escrow_core::solver::Solver;
    use escrow_core::user::{Rating, User};
    use storage::ledger::Ledger;

    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::from_byte_array([byte; 32])
    }

    #[test]
    fn a16_a_key_that_may_rule_or_trade_is_no_assistants() {
        let mut ledger = Ledger::in_memory();
        let mut page = ledger.page().unwrap();
        let solver = |permission| Solver {
            permission,
            since: UnixTime(1),
        };
        let write = solver(Permission::ReadWrite);
        page.put_solver(IdentityKey(key(2)), Some(&write)).unwrap();
        let read = solver(Permission::Read);
        page.put_solver(IdentityKey(key(3)), Some(&read)).unwrap();
        let trader = User {
            first_seen: UnixTime(1),
            last_index: TradeIndex(1),
            rating: Rating::default(),
        };
        page.put_user(IdentityKey(key(4)), &trader).unwrap();
        page.commit().unwrap();
        let view = ledger.views().view().unwrap();
        let refused = |byte| objection(&view, key(1), key(byte)).unwrap().is_some();
        let table = [(1, true), (2, true), (3, false), (4, true), (5, false)];
        for (byte, expected) in table {
            assert_eq!(refused(byte), expected, "{byte}");
        }
    }
}
