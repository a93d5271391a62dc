//! `matrix.txt` is made from the code and compared with it, so that a change of
//! the rules shows as a change of that page. `MATRIX_ACCEPT=1` writes it anew.

use std::path::Path;

use escrow_core::command::Ask;
use escrow_core::order::{Role, Side};

use super::fixtures::{asked_to_cancel, maker, scenes, stranger, taker};
use super::{asked, reported, reports, requests, short};

const ABOUT: &str = "\
Stage x command x sender, made from the code by `cargo test --test matrix`.

  >Xx  the order moves there          st  invalid_order_status
  ok   done, the stage stays          na  not_allowed_by_status
  =    known already, nothing         pk  invalid_pubkey
  !    an alarm (alone: only that)    pe  invalid_peer
  .    cannot happen                  ny  is_not_your_order
                                      ac  order_already_canceled

  Pe pending              Ac active                 Pn paying-buyer, invoice wanted
  Op opening-hold (Pe)    FS fiat-sent              Cg canceling, for good
  Ow opening-hold (WI)    Di dispute                Cb canceling, back to the book
  WI waiting-invoice      Re releasing              Su success
  WP waiting-payment      PB paying-buyer, payment  Ca canceled
  PW paid-waiting-invoice    under way              Ex expired

A market or range order never gets so far: its new-order ends in price_too_stale.
A take of the other kind of order is invalid_order_kind, in every stage.
";

#[test]
fn the_printed_page_is_what_the_code_does() {
    let page = [ABOUT.to_owned(), table(Side::Sell), table(Side::Buy)].join("\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matrix.txt");
    if std::env::var_os("MATRIX_ACCEPT").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let printed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        page, printed,
        "read the change, then accept it with MATRIX_ACCEPT=1"
    );
}

fn table(side: Side) -> String {
    let (buyer, seller, title) = match side {
        Side::Sell => (taker(), maker(), "sell order (maker = seller)"),
        Side::Buy => (maker(), taker(), "buy order (maker = buyer)"),
    };
    let scenes = scenes(side);
    let mut page = String::new();
    line(
        &mut page,
        title,
        scenes.iter().map(|scene| short(scene).to_owned()),
    );
    for (name, ask) in requests(side) {
        for (who, sender) in [
            ("buyer", &buyer),
            ("seller", &seller),
            ("other", &stranger()),
        ] {
            let cells = scenes.iter().map(|scene| asked(scene, sender, &ask));
            line(&mut page, &format!("{name} · {who}"), cells);
        }
    }
    for (who, sender, other) in [
        ("buyer", &buyer, Role::Seller),
        ("seller", &seller, Role::Buyer),
    ] {
        let asked_by_other = scenes
            .iter()
            .map(|scene| asked_to_cancel(scene.clone(), other));
        let cells = asked_by_other.map(|scene| asked(&scene, sender, &Ask::Cancel));
        line(&mut page, &format!("cancel, asked before · {who}"), cells);
    }
    for (name, report) in reports() {
        line(
            &mut page,
            name,
            scenes.iter().map(|scene| reported(scene, report)),
        );
    }
    page
}

fn line(page: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    let row = cells.fold(format!("{name:<28}"), |row, cell| {
        format!("{row} {cell:<4}")
    });
    page.push_str(row.trim_end());
    page.push('\n');
}
