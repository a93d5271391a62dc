#![no_main]

#[path = "../../tests/fuzz_seeds/event.rs"]
mod event;

thread_local! {
    static ROOM: event::Events = event::Events::open();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ROOM.with(|room| room.check(data));
});
