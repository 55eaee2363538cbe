//! A list of obstacles that cannot grow without bound.

use crate::blob_store::{Countable, Obstacle};

/// Obstacles listed of one module; a module with more of them shows the first ones.
pub const MAX_OBSTACLES: usize = 32;

/// Bytes of a name or a message in an obstacle or an error; what is longer is cut and ends in `…`.
pub const MAX_OBSTACLE_TEXT_BYTES: usize = 256;

/// What stands at the end of a cut text.
const CUT: char = '…';

/// Returns the text, cut when it is longer than [`MAX_OBSTACLE_TEXT_BYTES`].
pub(super) fn bounded(text: &str) -> String {
    if text.len() <= MAX_OBSTACLE_TEXT_BYTES {
        return text.to_string();
    }
    let mut cut = text[..text.floor_char_boundary(MAX_OBSTACLE_TEXT_BYTES - CUT.len_utf8())].to_string();
    cut.push(CUT);
    cut
}

/// The obstacles found so far.
#[derive(Default)]
pub(super) struct Obstacles(Vec<Obstacle>);

impl Obstacles {
    pub(super) fn into_vec(self) -> Vec<Obstacle> {
        self.0
    }

    fn push(&mut self, obstacle: impl FnOnce() -> Obstacle) {
        if self.0.len() < MAX_OBSTACLES {
            self.0.push(obstacle());
        }
    }

    pub(super) fn limit(&mut self, what: Countable, count: u64, max: u64) {
        if count > max {
            self.push(|| Obstacle::TooMany { what, count, max });
        }
    }

    pub(super) fn import(&mut self, module: &str, name: &str) {
        self.push(|| Obstacle::Import { module: bounded(module), name: bounded(name) });
    }

    pub(super) fn export(&mut self, name: &str) {
        self.push(|| Obstacle::Export { name: bounded(name) });
    }

    pub(super) fn duplicate_method(&mut self, method: &str) {
        self.push(|| Obstacle::DuplicateMethod { method: bounded(method) });
    }

    pub(super) fn feature(&mut self, offset: u64, message: &str) {
        self.push(|| Obstacle::Feature { offset, message: bounded(message) });
    }

    pub(super) fn custom_section_name(&mut self, name: &str) {
        self.push(|| Obstacle::CustomSectionName { name: bounded(name) });
    }

    pub(super) fn duplicate_custom_section(&mut self, name: &str) {
        self.push(|| Obstacle::DuplicateCustomSection { name: bounded(name) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn should_cut_a_text_past_the_limit_between_characters() {
        let fits = "x".repeat(MAX_OBSTACLE_TEXT_BYTES);
        assert_eq!(bounded(&fits), fits);
        let cut = bounded(&"é".repeat(MAX_OBSTACLE_TEXT_BYTES));
        assert!(cut.ends_with("é…"));
        assert!(cut.len() <= MAX_OBSTACLE_TEXT_BYTES);
    }

    #[test]
    fn should_list_so_many_obstacles_and_no_more() {
        let mut obstacles = Obstacles::default();
        for _ in 0..=MAX_OBSTACLES {
            obstacles.export("canister_x");
        }
        assert_eq!(obstacles.into_vec().len(), MAX_OBSTACLES);
    }
}
