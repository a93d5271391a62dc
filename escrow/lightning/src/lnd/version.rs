//! Which LND is new enough.

/// Before it, a hold could look settled whose money had gone back.
const LEAST: (u32, u32, u32) = (0, 18, 5);

/// What is wrong with a version such as `0.18.5-beta commit=v0.18.5-beta`.
pub(super) fn problem(version: &str) -> Option<String> {
    match read(version) {
        Some(found) if found >= LEAST => None,
        Some(_) => Some(format!(
            "its version {version} is too old: update LND to 0.18.5 or later"
        )),
        None => Some(format!("its version {version:?} cannot be read")),
    }
}

fn read(version: &str) -> Option<(u32, u32, u32)> {
    let bare = version.trim_start_matches('v');
    let end = bare
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(bare.len());
    let mut parts = bare.get(..end)?.split('.').map(str::parse);
    match (parts.next()?, parts.next()?, parts.next()?) {
        (Ok(major), Ok(minor), Ok(patch)) => Some((major, minor, patch)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lnd_is_new_enough_from_0_18_5_on() {
        for good in [
            "0.18.5-beta",
            "0.21.2-beta commit=",
            "v0.19.0-beta.rc1",
            "1.0.0",
        ] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "0.18.4-beta commit=v0.18.4-beta",
            "0.9.9",
            "",
            "beta",
            "0.18",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
