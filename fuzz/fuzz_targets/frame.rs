#![no_main]

#[path = "../../tests/fuzz_seeds/frame.rs"]
mod frame;

thread_local! {
    static ROOM: frame::Frames = frame::Frames::open();
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    ROOM.with(|room| room.check(data));
});
