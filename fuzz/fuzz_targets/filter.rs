#![no_main]

#[path = "../../tests/fuzz_seeds/filter.rs"]
mod filter;

thread_local! {
    static ROOM: filter::Filters = filter::Filters::open();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ROOM.with(|room| room.check(data));
});
