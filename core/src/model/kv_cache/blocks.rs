//! Which blocks of the cache are in use, and by how many sequences.

/// Counts the users of every block. A block with several is only read.
pub(crate) struct Blocks {
    users: Vec<u32>,
    free: Vec<u32>,
}

impl Blocks {
    /// All blocks free.
    pub(crate) fn new(count: usize) -> Self {
        Self { users: vec![0; count], free: (0..count as u32).rev().collect() }
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> usize {
        self.users.len()
    }

    /// How many blocks nobody uses.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// A block that nobody used, with one user now.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let block = self.free.pop()?;
        self.users[block as usize] = 1;
        Some(block)
    }

    /// One more user.
    pub(crate) fn share(&mut self, block: u32) {
        self.users[block as usize] += 1;
    }

    /// One user less.
    pub(crate) fn release(&mut self, block: u32) {
        let users = &mut self.users[block as usize];
        *users -= 1;
        if *users == 0 {
            self.free.push(block);
        }
    }

    /// Whether several sequences use the block.
    pub(crate) fn is_shared(&self, block: u32) -> bool {
        self.users[block as usize] > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_when_their_last_user_leaves() {
        let mut blocks = Blocks::new(2);
        assert_eq!((blocks.take(), blocks.take(), blocks.take()), (Some(0), Some(1), None));
        blocks.share(1);
        assert!(blocks.is_shared(1) && !blocks.is_shared(0));
        blocks.release(1);
        assert_eq!((blocks.is_shared(1), blocks.free(), blocks.take()), (false, 0, None));
        blocks.release(1);
        assert_eq!((blocks.free(), blocks.take()), (1, Some(1)));
    }
}
