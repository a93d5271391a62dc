//! Towns in which something once broke, each with what it was.

use escrow_simulation::live;

#[test]
fn p15_a_payment_that_ended_before_anybody_looked_stops_no_other() {
    // A start waits for a look at every payment that was sent before. One of
    // them ended without a look, and three others were never sent.
    let lived = live(1_395_518_143, None);
    assert!(lived.trades > 0);
}
