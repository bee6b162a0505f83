//! The sequences of a session: which tokens they hold, in which blocks of the cache, and what is remembered of those that
//! ended. The beginning that a new sequence shares with any other is never computed again.

use crate::model::kv_cache::BLOCK;
use crate::model::kv_cache::blocks::Blocks;

/// Ended sequences that are remembered at most, as long as nobody needs their blocks.
const REMEMBERED: usize = 32;

/// Names a sequence of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub usize);

/// Tokens, and the blocks of the cache that hold them.
#[derive(Default)]
pub(super) struct Sequence {
    pub(super) tokens: Vec<u32>,
    pub(super) blocks: Vec<u32>,
    /// Sequences of one namespace know nothing of those of another.
    pub(super) namespace: Box<str>,
    /// When it was used last, for those that ended.
    used: u64,
}

/// A block of the cache that is to be copied, because another sequence uses the original too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) from: u32,
    pub(super) to: u32,
}

/// All sequences of a session.
pub(super) struct Sequences {
    blocks: Blocks,
    active: Vec<Option<Sequence>>,
    remembered: Vec<Sequence>,
    clock: u64,
}

impl Sequences {
    /// One empty sequence, the main one.
    pub(super) fn new(block_count: usize) -> Self {
        let active = vec![Some(Sequence::default())];
        Self { blocks: Blocks::new(block_count), active, remembered: Vec::new(), clock: 0 }
    }

    /// The sequence, if it goes on.
    pub(super) fn get(&self, id: SequenceId) -> Option<&Sequence> {
        self.active.get(id.0)?.as_ref()
    }

    /// A new sequence that begins as `prompt` does, as far as another one of the namespace holds the same tokens. Its last
    /// token is left to be evaluated.
    pub(super) fn begin(&mut self, prompt: &[u32], namespace: &str) -> SequenceId {
        let sequence = self.beginning(prompt, namespace);
        let id = self.active.iter().position(Option::is_none).unwrap_or(self.active.len());
        if id == self.active.len() {
            self.active.push(None);
        }
        self.active[id] = Some(sequence);
        SequenceId(id)
    }

    /// Lets a sequence begin anew, as [`Self::begin`] does; what it held is remembered.
    pub(super) fn restart(&mut self, id: SequenceId, prompt: &[u32], namespace: &str) {
        self.end(id);
        let sequence = self.beginning(prompt, namespace);
        self.active[id.0] = Some(sequence);
    }

    /// Ends a sequence. It is remembered until its blocks are needed.
    pub(super) fn end(&mut self, id: SequenceId) {
        if let Some(sequence) = self.active.get_mut(id.0).and_then(Option::take) {
            self.remember(sequence);
        }
    }

    /// Drops the tokens from position `length` on.
    pub(super) fn truncate(&mut self, id: SequenceId, length: usize) {
        let Some(Some(sequence)) = self.active.get_mut(id.0) else { return };
        sequence.tokens.truncate(length);
        let kept = sequence.tokens.len().div_ceil(BLOCK);
        for block in sequence.blocks.drain(kept..) {
            self.blocks.release(block);
        }
    }

    /// Appends tokens whose room is [`Self::reserve`]d.
    pub(super) fn append(&mut self, id: SequenceId, tokens: &[u32]) {
        if let Some(Some(sequence)) = self.active.get_mut(id.0) {
            sequence.tokens.extend_from_slice(tokens);
        }
    }

    /// Makes room for `count` more tokens, at the cost of what is remembered if need be. Tells which block must be copied
    /// before the sequence is written to; none of all this if there are not as many blocks.
    pub(super) fn reserve(&mut self, id: SequenceId, count: usize) -> Option<Vec<Copy>> {
        // Whoever shares the block to write to may be forgotten on the way; then it need not be copied.
        while self.blocks.free() < self.blocks_for(id, count)? {
            self.shorten_oldest()?;
        }
        let mut copies = Vec::new();
        let Some(Some(sequence)) = self.active.get_mut(id.0) else { return None };
        let length = sequence.tokens.len();
        if let Some(from) = sequence.blocks.get_mut(length / BLOCK).filter(|_| count > 0)
            && self.blocks.is_shared(*from)
        {
            let to = self.blocks.take()?;
            self.blocks.release(*from);
            copies.push(Copy { from: *from, to });
            *from = to;
        }
        while sequence.blocks.len() < (length + count).div_ceil(BLOCK) {
            sequence.blocks.push(self.blocks.take()?);
        }
        Some(copies)
    }

    /// How many blocks no sequence holds that goes on.
    pub(super) fn available(&self) -> usize {
        let mut held: Vec<u32> =
            self.active.iter().flatten().flat_map(|sequence| sequence.blocks.iter().copied()).collect();
        held.sort_unstable();
        held.dedup();
        self.blocks.count() - held.len()
    }

    /// How many free blocks a sequence needs for `count` more tokens.
    fn blocks_for(&self, id: SequenceId, count: usize) -> Option<usize> {
        let Sequence { tokens, blocks, .. } = self.get(id)?;
        let new = (tokens.len() + count).div_ceil(BLOCK).saturating_sub(blocks.len());
        let is_copied =
            count > 0 && blocks.get(tokens.len() / BLOCK).is_some_and(|&block| self.blocks.is_shared(block));
        Some(new + usize::from(is_copied))
    }

    /// The longest beginning of `prompt` that any sequence of the namespace holds, but for the last token.
    fn beginning(&mut self, prompt: &[u32], namespace: &str) -> Sequence {
        let most = prompt.len().saturating_sub(1);
        let shared = |sequence: &Sequence| {
            let tokens = if *sequence.namespace == *namespace { &sequence.tokens[..] } else { &[] };
            tokens.iter().zip(&prompt[..most]).take_while(|(mine, theirs)| mine == theirs).count()
        };
        let ended = self.remembered.iter().enumerate().map(|(i, sequence)| (shared(sequence), i)).max();
        let active = self.active.iter().flatten().map(|sequence| (shared(sequence), sequence)).max_by_key(|(n, _)| *n);
        let (kept, source) = match (ended, active) {
            (Some((kept, i)), active) if active.as_ref().is_none_or(|(other, _)| kept >= *other) => {
                if kept == self.remembered[i].tokens.len() {
                    return self.remembered.remove(i);
                }
                if kept >= BLOCK {
                    self.clock += 1;
                    self.remembered[i].used = self.clock;
                }
                (kept, &self.remembered[i])
            }
            (_, Some(active)) => active,
            _ => return Sequence { namespace: namespace.into(), ..Sequence::default() },
        };
        let blocks = source.blocks[..kept.div_ceil(BLOCK)].to_vec();
        for &block in &blocks {
            self.blocks.share(block);
        }
        Sequence { tokens: prompt[..kept].to_vec(), blocks, namespace: namespace.into(), used: 0 }
    }

    fn remember(&mut self, mut sequence: Sequence) {
        let is_in = |part: &Sequence, whole: &Sequence| {
            part.namespace == whole.namespace && whole.tokens.starts_with(&part.tokens)
        };
        if self.remembered.iter().any(|other| is_in(&sequence, other)) || sequence.tokens.is_empty() {
            self.release(&sequence.blocks);
            return;
        }
        let (parts, others) =
            std::mem::take(&mut self.remembered).into_iter().partition(|other| is_in(other, &sequence));
        self.remembered = others;
        let parts: Vec<Sequence> = parts;
        for part in parts {
            self.release(&part.blocks);
        }
        if self.remembered.len() >= REMEMBERED {
            self.forget_oldest();
        }
        self.clock += 1;
        sequence.used = self.clock;
        self.remembered.push(sequence);
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.oldest() {
            let sequence = self.remembered.swap_remove(oldest);
            self.release(&sequence.blocks);
        }
    }

    /// Forgets the last block of what was used least recently: others are likelier to begin with the first.
    fn shorten_oldest(&mut self) -> Option<()> {
        let oldest = self.oldest()?;
        let sequence = &mut self.remembered[oldest];
        if let Some(block) = sequence.blocks.pop() {
            self.blocks.release(block);
        }
        sequence.tokens.truncate(sequence.blocks.len() * BLOCK);
        if sequence.tokens.is_empty() {
            self.remembered.swap_remove(oldest);
        }
        Some(())
    }

    fn oldest(&self) -> Option<usize> {
        (0..self.remembered.len()).min_by_key(|&i| self.remembered[i].used)
    }

    fn release(&mut self, blocks: &[u32]) {
        for &block in blocks {
            self.blocks.release(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(range: std::ops::Range<u32>) -> Vec<u32> {
        range.collect()
    }

    /// Begins as `prompt` does and holds all of it; gives how many tokens were there already, and what was copied.
    fn run(sequences: &mut Sequences, prompt: &[u32]) -> (SequenceId, usize, Vec<Copy>) {
        let id = sequences.begin(prompt, "");
        let shared = sequences.get(id).unwrap().tokens.len();
        let copies = sequences.reserve(id, prompt.len() - shared).unwrap();
        sequences.append(id, &prompt[shared..]);
        (id, shared, copies)
    }

    fn blocks(sequences: &Sequences, id: SequenceId) -> &[u32] {
        &sequences.get(id).unwrap().blocks
    }

    #[test]
    fn a_new_sequence_shares_whole_blocks_and_copies_the_one_it_writes_to() {
        let mut sequences = Sequences::new(8);
        let (first, shared, copies) = run(&mut sequences, &tokens(0..80));
        assert_eq!((shared, copies), (0, vec![]));
        let prompt = [tokens(0..70), tokens(500..520)].concat();
        let (second, shared, copies) = run(&mut sequences, &prompt);
        assert_eq!(shared, 70);
        assert_eq!(blocks(&sequences, first)[..2], blocks(&sequences, second)[..2]);
        let (from, to) = (blocks(&sequences, first)[2], blocks(&sequences, second)[2]);
        assert_eq!(copies, [Copy { from, to }]);
        assert_ne!(from, to);
    }

    #[test]
    fn what_ended_is_found_again_and_taken_over_where_all_of_it_goes_on() {
        let mut sequences = Sequences::new(8);
        let (first, ..) = run(&mut sequences, &tokens(0..50));
        let held = blocks(&sequences, first).to_vec();
        sequences.end(first);
        let (second, shared, copies) = run(&mut sequences, &tokens(0..60));
        assert_eq!((shared, copies), (50, vec![]));
        assert_eq!(blocks(&sequences, second), held);
        assert!(sequences.remembered.is_empty());
    }

    #[test]
    fn nothing_is_found_from_another_namespace_whether_it_goes_on_or_ended() {
        let mut sequences = Sequences::new(16);
        let shared = |sequences: &mut Sequences, namespace| {
            let id = sequences.begin(&tokens(0..60), namespace);
            let shared = sequences.get(id).unwrap().tokens.len();
            sequences.reserve(id, 60 - shared).unwrap();
            sequences.append(id, &tokens(shared as u32..60));
            (id, shared)
        };
        let (ours, _) = shared(&mut sequences, "ours");
        let (theirs, found) = shared(&mut sequences, "theirs");
        assert_eq!(found, 0);
        sequences.end(ours);
        sequences.end(theirs);
        assert_eq!(sequences.remembered.len(), 2);
        assert_eq!(shared(&mut sequences, "").1, 0);
        assert_eq!(shared(&mut sequences, "ours").1, 59);
    }

    #[test]
    fn the_last_token_of_a_prompt_is_always_left_to_evaluate() {
        let mut sequences = Sequences::new(8);
        let (first, ..) = run(&mut sequences, &tokens(0..40));
        sequences.end(first);
        let (_, shared, _) = run(&mut sequences, &tokens(0..40));
        assert_eq!(shared, 39);
    }

    #[test]
    fn the_longest_of_several_beginnings_is_taken() {
        let mut sequences = Sequences::new(16);
        for end in [10, 60, 30] {
            let (id, ..) = run(&mut sequences, &[tokens(0..end), tokens(900..910)].concat());
            sequences.end(id);
        }
        let (_, shared, _) = run(&mut sequences, &tokens(0..100));
        assert_eq!(shared, 60);
    }

    #[test]
    fn room_is_made_of_what_was_used_least_recently() {
        let mut sequences = Sequences::new(4);
        for start in [100, 200, 300] {
            let (id, ..) = run(&mut sequences, &tokens(start..start + 32));
            sequences.end(id);
        }
        let (touched, shared, _) = run(&mut sequences, &tokens(100..140)); // takes over the oldest
        assert_eq!(shared, 32);
        sequences.end(touched);
        let (long, shared, _) = run(&mut sequences, &tokens(200..260));
        assert_eq!((shared, sequences.get(long).unwrap().blocks.len()), (32, 2));
        let kept: Vec<u32> = sequences.remembered.iter().map(|sequence| sequence.tokens[0]).collect();
        assert_eq!(kept, [100]);
    }

    #[test]
    fn what_gives_way_loses_its_end_first() {
        let mut sequences = Sequences::new(4);
        let (first, ..) = run(&mut sequences, &tokens(0..100));
        sequences.end(first);
        let (second, ..) = run(&mut sequences, &tokens(500..550));
        sequences.end(second);
        let (_, shared, _) = run(&mut sequences, &tokens(0..60));
        assert_eq!(shared, 59);
    }

    #[test]
    fn without_room_nothing_changes_but_what_was_remembered() {
        let mut sequences = Sequences::new(2);
        let (id, ..) = run(&mut sequences, &tokens(0..40));
        assert_eq!(sequences.reserve(id, 30), None);
        assert_eq!((sequences.get(id).unwrap().tokens.len(), blocks(&sequences, id).len()), (40, 2));
        assert_eq!(sequences.reserve(id, 24), Some(vec![]));
    }

    #[test]
    fn a_block_is_not_copied_once_nobody_else_remembers_it() {
        let mut sequences = Sequences::new(1);
        let (first, ..) = run(&mut sequences, &tokens(0..30));
        sequences.end(first);
        let (second, shared, copies) = run(&mut sequences, &[tokens(0..20), tokens(90..100)].concat());
        assert_eq!((shared, copies, blocks(&sequences, second)), (20, vec![], &[0][..]));
    }

    #[test]
    fn truncated_tokens_give_their_blocks_back_and_shared_ones_stay_with_the_others() {
        let mut sequences = Sequences::new(3);
        let (first, ..) = run(&mut sequences, &tokens(0..64));
        let (second, shared, _) = run(&mut sequences, &tokens(0..64));
        assert_eq!(shared, 63);
        sequences.truncate(second, 10);
        assert_eq!((blocks(&sequences, second).len(), sequences.blocks.free()), (1, 1));
        let copies = sequences.reserve(second, 1).unwrap();
        assert_eq!(copies.len(), 1);
        assert_eq!(blocks(&sequences, first), [0, 1]);
        sequences.truncate(second, 0);
        sequences.truncate(first, 0);
        assert_eq!(sequences.blocks.free(), 3);
    }

    #[test]
    fn what_ended_and_what_is_shared_does_not_count_against_the_room() {
        let mut sequences = Sequences::new(8);
        let (first, ..) = run(&mut sequences, &tokens(0..64));
        let (ended, ..) = run(&mut sequences, &tokens(500..600));
        assert_eq!(sequences.available(), 2);
        sequences.end(ended);
        assert_eq!(sequences.available(), 6);
        let second = sequences.begin(&tokens(0..90), "");
        assert_eq!(sequences.available(), 6);
        assert_eq!(sequences.reserve(second, 6), Some(vec![]));
        assert_eq!(sequences.available(), 5);
        sequences.end(first);
        assert_eq!(sequences.available(), 5);
    }

    #[test]
    fn a_part_of_what_is_remembered_is_not_remembered_twice() {
        let mut sequences = Sequences::new(8);
        let (short, ..) = run(&mut sequences, &tokens(0..20));
        let (long, ..) = run(&mut sequences, &tokens(0..90));
        sequences.end(short);
        sequences.end(long);
        assert_eq!(sequences.remembered.len(), 1);
        assert_eq!(sequences.blocks.free(), 5);
    }
}
