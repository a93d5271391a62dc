//! The last good prices on disk, with their age: a node that starts without a
//! network has them still (rule Q6).
//!
//! The file is written beside itself and then renamed, so that a crash leaves
//! the old one or the new one. Whatever else is found there is worth a line in
//! the log and nothing more: prices come back with the next round.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use escrow_core::UnixTime;
use serde::{Deserialize, Serialize};

use super::board::{Price, PriceList};
use super::currency::Currency;
use super::source::{SourceId, is_price};

/// The file in the data directory.
const FILE: &str = "prices.json";
/// The same while it is written.
const UNFINISHED: &str = "prices.json.new";

/// What is read at most; all currencies of the world fit into a tenth of it.
const MOST_BYTES: u64 = 256 * 1024;

/// The form of the file.
const FORM: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Page {
    form: u32,
    prices: BTreeMap<String, Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    units: f64,
    observed_at: UnixTime,
    sources: Vec<SourceId>,
    is_relayed: bool,
}

/// The place of the last good prices.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

/// Why kept prices cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The file is there and the system does not show it.
    #[error("{} cannot be read: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged, or of another version.
    #[error("{} is damaged: {why}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Kept {
    /// The prices that are kept in a data directory.
    #[must_use]
    pub fn in_folder(data_dir: &Path) -> Kept {
        Kept {
            folder: data_dir.to_owned(),
        }
    }

    /// Reads them; a file that is not there holds none. What is no price of a
    /// known currency is left out.
    ///
    /// # Errors
    /// Why the file says nothing.
    pub fn read(&self) -> Result<PriceList, KeptError> {
        let file = self.folder.join(FILE);
        let bytes = match read_bounded(&file) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(PriceList::new()),
            Err(source) => return Err(KeptError::Io { file, source }),
        };
        let damaged = |why: String| KeptError::Damaged {
            file: file.clone(),
            why,
        };
        if bytes.len() as u64 > MOST_BYTES {
            return Err(damaged(format!("it has more than {MOST_BYTES} bytes")));
        }
        let page: Page = serde_json::from_slice(&bytes).map_err(|why| damaged(why.to_string()))?;
        if page.form != FORM {
            return Err(damaged(format!("its form is {}, not {FORM}", page.form)));
        }
        Ok(page.prices.into_iter().filter_map(price).collect())
    }

    /// Writes them down. When this returns, they outlive a power cut.
    ///
    /// # Errors
    /// What the system said; the file is as it was.
    pub fn write(&self, prices: &PriceList) -> io::Result<()> {
        let page = Page {
            form: FORM,
            prices: prices.iter().map(row).collect(),
        };
        let text = serde_json::to_vec_pretty(&page)?;
        let unfinished = self.folder.join(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = File::open(file)?;
    opened.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn price((code, row): (String, Row)) -> Option<(Currency, Price)> {
    let currency = Currency::known(&code).filter(|_| is_price(row.units))?;
    let price = Price {
        units: row.units,
        observed_at: row.observed_at,
        sources: row.sources,
        cut: Vec::new(),
        is_relayed: row.is_relayed,
    };
    Some((currency, price))
}

fn row((currency, price): (&Currency, &Price)) -> (String, Row) {
    let row = Row {
        units: price.units,
        observed_at: price.observed_at,
        sources: price.sources.clone(),
        is_relayed: price.is_relayed,
    };
    (currency.code().to_owned(), row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> PriceList {
        let price = Price {
            units: 50_000.5,
            observed_at: UnixTime(1_795_199_371),
            sources: vec![SourceId::Coingecko, SourceId::Yadio],
            cut: Vec::new(),
            is_relayed: false,
        };
        [(Currency::USD, price)].into()
    }

    #[test]
    fn q6_prices_outlive_a_restart_with_their_age() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::in_folder(folder.path());
        assert_eq!(kept.read().unwrap(), PriceList::new());
        kept.write(&prices()).unwrap();
        assert_eq!(kept.read().unwrap(), prices());
        kept.write(&PriceList::new()).unwrap();
        assert_eq!(kept.read().unwrap(), PriceList::new());
    }

    #[test]
    fn q6_a_write_that_was_cut_short_leaves_the_old_prices() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::in_folder(folder.path());
        kept.write(&prices()).unwrap();
        fs::write(folder.path().join(UNFINISHED), "{\"form\":1,\"pri").unwrap();
        assert_eq!(kept.read().unwrap(), prices());
        kept.write(&PriceList::new()).unwrap();
        assert_eq!(kept.read().unwrap(), PriceList::new());
    }

    #[test]
    fn q6_a_damaged_file_is_told_and_what_is_odd_in_it_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::in_folder(folder.path());
        let write = |text: &str| fs::write(folder.path().join(FILE), text).unwrap();
        for text in [
            "",
            "not json",
            "{\"form\":2,\"prices\":{}}",
            "{\"form\":1,\"prices\":{\"USD\":7}}",
            &" ".repeat(300 * 1024),
        ] {
            write(text);
            let read = kept.read();
            assert!(matches!(read, Err(KeptError::Damaged { .. })), "{read:?}");
        }
        let row = |units: &str| {
            format!("{{\"units\":{units},\"observed_at\":5,\"sources\":[],\"is_relayed\":false}}")
        };
        let (good, bad) = (row("50000.0"), row("-1.0"));
        write(&format!(
            "{{\"form\":1,\"prices\":{{\"USD\":{good},\"EUR\":{bad},\"XAU\":{good}}}}}"
        ));
        let read = kept.read().unwrap();
        assert_eq!(read.keys().copied().collect::<Vec<_>>(), [Currency::USD]);
    }
}
