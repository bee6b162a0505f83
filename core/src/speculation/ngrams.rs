//! Guesses from the text itself.

use std::collections::HashMap;

/// Tokens that must be alike for the text behind their last occurrence to be a guess.
const SIZE: usize = 3;
/// From so many alike tokens before a guess on, a longer likeness says nothing more.
pub(super) const LONGEST_LIKENESS: usize = 32;

/// Guesses that what followed the last few tokens when they occurred before follows them again.
#[derive(Clone, Debug, Default)]
pub(super) struct NGrams {
    tokens: Vec<u32>,
    /// N-gram -> index behind its latest occurrence but the one at the end of the text.
    latest: HashMap<[u32; SIZE], usize>,
}

impl NGrams {
    /// Takes the next tokens of the text.
    pub(super) fn read(&mut self, tokens: &[u32]) {
        self.tokens.reserve(tokens.len());
        for &token in tokens {
            // An n-gram is entered when the token behind it is known.
            if let Some(&ngram) = self.tokens.last_chunk() {
                self.latest.insert(ngram, self.tokens.len());
            }
            self.tokens.push(token);
        }
    }

    /// Appends the `count` tokens behind the latest earlier occurrence of the last n-gram to `guesses`, and says how many
    /// tokens before both places are alike; none and 0 if there was no such occurrence.
    pub(super) fn propose(&self, count: usize, guesses: &mut Vec<u32>) -> usize {
        let Some(&start) = self.tokens.last_chunk().and_then(|ngram: &[u32; SIZE]| self.latest.get(ngram)) else {
            return 0;
        };
        // A loop of fewer tokens than are wanted goes round again.
        guesses.extend(self.tokens[start..].iter().cycle().take(count));
        let (before, now) = (self.tokens[..start].iter().rev(), self.tokens.iter().rev());
        before.zip(now).take(LONGEST_LIKENESS).take_while(|(before, now)| before == now).count()
    }
}
