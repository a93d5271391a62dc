# Shortcuts for people; nothing needs them.

# Lists the recipes.
default:
    @just --list

# Starts the box with the sandbox.
run *ARGS:
    cargo run --release -- {{ARGS}}

# Everything the CI checks.
check:
    .ci/run

# All tests.
test *ARGS:
    cargo test --workspace --locked {{ARGS}}

# The stories whose name contains NAME.
story NAME="":
    cargo test --workspace --locked --test stories {{NAME}} -- --nocapture

# Thousands of trades with everything that can go wrong: --seed N, --trades N, or --town N --aloud.
simulate *ARGS:
    cargo run --release -- simulate {{ARGS}}

# Accepts the generated rule page as the new one.
matrix:
    MATRIX_ACCEPT=1 cargo test --workspace --locked --test matrix

# Real Lightning nodes on this machine: up, down, pay, invoice, mine, balances.
regtest *ARGS:
    cargo run -q -p escrow-regtest -- {{ARGS}}

# The tests against real Lightning nodes.
lnd *ARGS:
    .ci/lnd {{ARGS}}

# Three trades told as they happen.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# The quick measurement.
bench *ARGS:
    cargo run --release -- bench --quick {{ARGS}}

# Feeds a fuzz target (frame, event or filter); needs nightly Rust and cargo-fuzz.
fuzz TARGET="frame" SECONDS="60":
    cp Cargo.lock fuzz/ && mkdir -p fuzz/corpus/{{TARGET}}
    cargo +nightly fuzz run {{TARGET}} fuzz/corpus/{{TARGET}} fuzz/seeds/{{TARGET}} -- -max_total_time={{SECONDS}}
