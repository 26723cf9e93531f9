//! Measures thumbnails: `cargo run --release -p uploads --example thumbnails -- FILE…`.
//!
//! For each image, the time of all three thumbnails and their sizes; beside it, what the large one would be as lossless
//! WebP.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::{Duration, Instant};

fn main() {
    println!(
        "{:<20} {:>9} {:>9} {:>8} {:>8} {:>8} {:>14} {:>9}",
        "image", "bytes", "ms", "small", "medium", "large", "large as WebP", "ms"
    );
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).expect("the file can be read");
        // Small images many times, large ones a few.
        let times = (2_000_000 / bytes.len()).clamp(3, 1_000) as u32;
        let start = Instant::now();
        for _ in 1..times {
            let _ = uploads::images::thumbnails(&bytes);
        }
        let thumbnails = match uploads::images::thumbnails(&bytes) {
            Ok(thumbnails) => thumbnails,
            Err(error) => {
                println!("{path}: {} ({})", error, error.kind());
                continue;
            }
        };
        let took = start.elapsed() / times;

        let large = image::load_from_memory(&thumbnails[2].bytes).expect("a thumbnail can be decoded");
        let start = Instant::now();
        let mut webp = std::io::Cursor::new(Vec::new());
        large.write_to(&mut webp, image::ImageFormat::WebP).expect("it can be encoded");
        let webp_took = start.elapsed();

        let ms = |took: Duration| took.as_secs_f64() * 1_000.0;
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy();
        let [small, medium, large] = thumbnails.map(|thumbnail| thumbnail.bytes.len());
        println!(
            "{name:<20} {:>9} {:>9.2} {small:>8} {medium:>8} {large:>8} {:>14} {:>9.2}",
            bytes.len(),
            ms(took),
            webp.into_inner().len(),
            ms(webp_took)
        );
    }
}
