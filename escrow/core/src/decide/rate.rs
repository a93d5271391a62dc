//! A party rates the other.

use crate::command::Request;
use crate::decision::Decision;
use crate::facts::{Now, RateFacts};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Rated, Role};
use crate::party::Identity;
use crate::stage::Stage;
use crate::user::{Rating, User};
use crate::wire::CantDo;

use super::{ensure, newcomer};

/// Counts a vote (rules K2–K5). About a counterpart in full privacy nothing is
/// recorded, and the rater gets the same answer.
pub fn rate(
    order: &Order,
    req: &Request,
    stars: u8,
    now: Now,
    facts: &RateFacts,
) -> Result<Decision, CantDo> {
    let role = rater(order, req)?;
    let given = match role {
        Role::Buyer => order.rated.by_buyer,
        Role::Seller => order.rated.by_seller,
    };
    ensure(!given && (1..=5).contains(&stars), CantDo::InvalidRating)?;
    let thanks = Letter::answer(&req.asker(), order.id, Notice::RateReceived { stars });
    let mut decision = Decision {
        answer: Some(thanks),
        ..Decision::default()
    };
    let counterpart = match role {
        Role::Buyer => order.seller(),
        Role::Seller => order.buyer(),
    };
    if let Some(Identity::Known(identity)) = counterpart.map(|party| party.identity) {
        let user = facts.rated.clone().unwrap_or_else(|| newcomer(now.at));
        decision.orders.push(Order {
            rated: flagged(order.rated, role),
            ..order.clone()
        });
        decision.users.push((
            identity,
            User {
                rating: with_vote(user.rating, stars),
                ..user
            },
        ));
    }
    Ok(decision)
}

/// The sender's role, if he may rate at this stage (rule K2).
fn rater(order: &Order, req: &Request) -> Result<Role, CantDo> {
    let role = order.role_of(req.sender.trade_key);
    match (&order.stage, role) {
        (Stage::Success { .. }, None) => Err(CantDo::InvalidPubkey),
        (Stage::Success { .. }, Some(role)) => Ok(role),
        (Stage::PayingBuyer { .. }, Some(Role::Seller)) => Ok(Role::Seller),
        (
            Stage::PayingBuyer { .. }
            | Stage::Pending
            | Stage::OpeningHold { .. }
            | Stage::WaitingInvoice { .. }
            | Stage::WaitingPayment { .. }
            | Stage::PaidWaitingInvoice { .. }
            | Stage::Active { .. }
            | Stage::FiatSent { .. }
            | Stage::Releasing { .. }
            | Stage::Canceled { .. },
            Some(Role::Buyer | Role::Seller) | None,
        ) => Err(CantDo::InvalidOrderStatus),
    }
}

fn flagged(rated: Rated, by: Role) -> Rated {
    match by {
        Role::Buyer => Rated {
            by_buyer: true,
            ..rated
        },
        Role::Seller => Rated {
            by_seller: true,
            ..rated
        },
    }
}

/// The aggregate with one more vote (rule K5): the first counts half, each
/// later one pulls the value a share of the way to itself.
fn with_vote(rating: Rating, stars: u8) -> Rating {
    let vote = f64::from(stars);
    let is_first = rating.reviews == 0;
    let reviews = rating.reviews.saturating_add(1);
    Rating {
        reviews,
        total: if is_first {
            vote / 2.0
        } else {
            rating.total + (vote - rating.total) / f64::from(reviews)
        },
        last: stars,
        min: if is_first {
            stars
        } else {
            rating.min.min(stars)
        },
        max: if is_first {
            stars
        } else {
            rating.max.max(stars)
        },
    }
}
