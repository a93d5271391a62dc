//! Towns in which something once broke, each with what it was.

use escrow_simulation::live;

#[test]
fn p15_a_payment_that_ended_before_anybody_looked_stops_no_other() {
    // A start waits for a look at every payment that was sent before. One of
    // them ended without a look, and three others were never sent.
    let lived = live(1_395_518_143, None);
    assert!(lived.trades > 0);
}

#[test]
fn b8_a_late_answer_to_a_cancel_whose_commit_was_cut_off_is_its_answer() {
    // The power went in the commit that had taken the cancel. Its late answer
    // came before anybody could know that.
    let lived = live(3_308_049_801, None);
    assert!(lived.trades > 0);
}
