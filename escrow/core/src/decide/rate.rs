//! A party rates the other.

use crate::command::Request;
use crate::decision::{Decision, Effect};
use crate::facts::{Now, RateFacts};
use crate::notice::{Letter, Notice};
use crate::order::{Order, Rated, Role};
use crate::party::Identity;
use crate::stage::Stage;
use crate::user::{Rating, User};
use crate::wire::CantDo;

use super::{ensure, newcomer};

/// Counts a vote and shows it (rules K2–K5). About a counterpart in full privacy nothing is
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
    if let Some((rated, Identity::Known(identity))) =
        counterpart.map(|party| (party.trade_key, party.identity))
    {
        decision
            .effects
            .push(Effect::PublishRating { rated, identity });
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
            | Stage::Dispute { .. }
            | Stage::Canceling { .. }
            | Stage::Releasing { .. }
            | Stage::Canceled { .. }
            | Stage::Expired,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Ask;
    use crate::fixtures::*;
    use crate::order::Side;
    use crate::party::Party;

    fn rating(scene: &Scene, party: &Party, stars: u8) -> Result<Decision, CantDo> {
        let req = request(party, Ask::RateUser { stars });
        let facts = RateFacts {
            rated: Some(user(&taker())),
        };
        rate(&scene.order, &req, stars, now(), &facts)
    }

    fn done() -> Scene {
        scene("success", Side::Sell, success())
    }

    #[test]
    fn k2_u24_u25_u26_a_vote_is_refused() {
        for scene in scenes(Side::Sell) {
            let (buyer, seller, other) = match scene.name {
                "success" => (None, None, Some(CantDo::InvalidPubkey)),
                "paying-buyer" | "paying-buyer (no invoice)" => (
                    Some(CantDo::InvalidOrderStatus),
                    None,
                    Some(CantDo::InvalidOrderStatus),
                ),
                _ => [Some(CantDo::InvalidOrderStatus); 3].into(),
            };
            assert_eq!(
                rating(&scene, &taker(), 5).err(),
                buyer,
                "buyer, {}",
                scene.name
            );
            assert_eq!(
                rating(&scene, &maker(), 5).err(),
                seller,
                "seller, {}",
                scene.name
            );
            assert_eq!(
                rating(&scene, &stranger(), 5).err(),
                other,
                "{}",
                scene.name
            );
        }
        for stars in [0, 6, u8::MAX] {
            assert_eq!(rating(&done(), &maker(), stars), Err(CantDo::InvalidRating));
        }
        let voted = done().edit(|scene| scene.order.rated.by_seller = true);
        assert_eq!(
            rating(&voted, &maker(), 5),
            Err(CantDo::InvalidRating),
            "a second vote"
        );
        assert!(
            rating(&voted, &taker(), 5).is_ok(),
            "the other has his own vote"
        );
    }

    #[test]
    fn k3_k6_up_a14_a_vote_counts_and_is_shown_when_it_is_given() {
        let scene = done();
        let asker = request(&maker(), Ask::Cancel).asker();
        let rated = Rating {
            reviews: 4,
            total: 4.5 + (2.0 - 4.5) / 4.0,
            last: 2,
            min: 2,
            max: 5,
        };
        let expected = Decision {
            orders: vec![
                scene
                    .order
                    .clone()
                    .edit(|order| order.rated.by_seller = true),
            ],
            users: vec![(
                identity_key(2),
                User {
                    rating: rated,
                    ..user(&taker())
                },
            )],
            answer: Some(Letter::answer(
                &asker,
                order_id(),
                Notice::RateReceived { stars: 2 },
            )),
            effects: vec![Effect::PublishRating {
                rated: taker().trade_key,
                identity: identity_key(2),
            }],
            ..Decision::default()
        };
        assert_eq!(rating(&scene, &maker(), 2), Ok(expected));
    }

    #[test]
    fn k4_u27_about_full_privacy_nothing_is_recorded() {
        let scene = done().edit(|scene| {
            if let Stage::Success { take, .. } = &mut scene.order.stage {
                take.taker.identity = Identity::FullPrivacy;
            }
        });
        let asker = request(&maker(), Ask::Cancel).asker();
        let expected = Decision {
            answer: Some(Letter::answer(
                &asker,
                order_id(),
                Notice::RateReceived { stars: 5 },
            )),
            ..Decision::default()
        };
        assert_eq!(rating(&scene, &maker(), 5), Ok(expected));
    }

    #[test]
    fn k5_k6_up_a14_the_worked_votes() {
        let mut rating = Rating::default();
        let mut totals = Vec::new();
        for stars in [5, 4, 1] {
            rating = with_vote(rating, stars);
            totals.push(rating.total);
        }
        assert_eq!(totals, [2.5, 3.25, 2.5]);
        assert_eq!(
            rating,
            Rating {
                reviews: 3,
                total: 2.5,
                last: 1,
                min: 1,
                max: 5
            }
        );
    }
}
