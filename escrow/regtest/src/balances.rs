//! The balances of all nodes, side by side.

use std::fmt;

use crate::wallet::Balance;

/// What lies in the channels of each node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Name and balance, in the order of the network.
    pub nodes: Vec<(String, Balance)>,
}

impl Balances {
    /// The balance of the node of this name; zero if there is none.
    #[must_use]
    pub fn of(&self, name: &str) -> Balance {
        let found = self.nodes.iter().find(|(node, _)| node == name);
        found.map(|(_, balance)| *balance).unwrap_or_default()
    }

    /// What belongs to the nodes together, in millisats. Payments between
    /// them do not change it, once nothing is on its way.
    #[must_use]
    pub fn owned_msat(&self) -> u64 {
        self.nodes
            .iter()
            .map(|(_, balance)| balance.local_msat)
            .sum()
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn are_at_rest(&self) -> bool {
        let locked = |balance: &Balance| balance.held_in_msat + balance.held_out_msat;
        self.nodes.iter().all(|(_, balance)| locked(balance) == 0)
    }

    /// What a node has gained since, in millisats; negative if it has lost.
    #[must_use]
    pub fn gain_msat(&self, name: &str, since: &Balances) -> i128 {
        i128::from(self.of(name).local_msat) - i128::from(since.of(name).local_msat)
    }
}

impl fmt::Display for Balances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["local sat", "remote sat", "held in sat", "held out sat"];
        let [local, remote, held_in, held_out] = head;
        writeln!(
            f,
            "{:10}{local:>16}{remote:>16}{held_in:>16}{held_out:>16}",
            "node"
        )?;
        for (name, balance) in &self.nodes {
            let columns = [
                balance.local_msat,
                balance.remote_msat,
                balance.held_in_msat,
                balance.held_out_msat,
            ];
            let [local, remote, held_in, held_out] = columns.map(sats);
            writeln!(
                f,
                "{name:10}{local:>16}{remote:>16}{held_in:>16}{held_out:>16}"
            )?;
        }
        write!(f, "{:10}{:>16}", "together", sats(self.owned_msat()))
    }
}

fn sats(msat: u64) -> String {
    format!("{}.{:03}", msat / 1_000, msat % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_millisats_and_the_sum() {
        let node = |local_msat| Balance {
            local_msat,
            ..Balance::default()
        };
        let balances = Balances {
            nodes: vec![
                ("seller".into(), node(1_000_001)),
                ("buyer".into(), node(2_999)),
            ],
        };
        let table = balances.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].starts_with("seller "), "{table}");
        assert!(lines[1].contains("1000.001"), "{table}");
        assert!(lines[2].contains(" 2.999"), "{table}");
        assert_eq!(lines[3].split_whitespace().last(), Some("1003.000"));
    }

    #[test]
    fn a_held_payment_is_no_rest() {
        let held = Balance {
            held_in_msat: 1,
            ..Balance::default()
        };
        let balances = |balance| Balances {
            nodes: vec![("operator".into(), balance)],
        };
        assert!(!balances(held).are_at_rest());
        assert!(balances(Balance::default()).are_at_rest());
    }
}
