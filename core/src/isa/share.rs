//! One mutable slice, several threads: pieces that are claimed at most once, so that no two threads hold the same.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which pieces are taken, one bit each.
struct Claims {
    words: Vec<AtomicU64>,
    count: usize,
}

impl Claims {
    fn new(count: usize) -> Self {
        Self { words: (0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(), count }
    }

    /// Takes piece `i`; a second time is a bug of the caller.
    fn take(&self, i: usize) {
        assert!(i < self.count, "piece {i} of {}", self.count);
        let bit = 1 << (i % 64);
        let before = self.words[i / 64].fetch_or(bit, Ordering::Relaxed);
        assert!(before & bit == 0, "piece {i} was claimed before");
    }
}

/// A slice cut into pieces of `size` elements (the last may be shorter), for several threads to write.
pub struct Chunks<'a, T> {
    data: *mut T,
    length: usize,
    size: usize,
    claims: Claims,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a piece is handed out at most once, so threads that share this never share an element.
unsafe impl<T: Send> Sync for Chunks<'_, T> {}
// SAFETY: it stands for a `&mut [T]`.
unsafe impl<T: Send> Send for Chunks<'_, T> {}

impl<'a, T> Chunks<'a, T> {
    /// Cuts `data` into pieces of `size`.
    pub fn new(data: &'a mut [T], size: usize) -> Self {
        assert!(size > 0, "a piece has elements");
        let length = data.len();
        Self {
            data: data.as_mut_ptr(),
            length,
            size,
            claims: Claims::new(length.div_ceil(size)),
            lifetime: PhantomData,
        }
    }

    /// How many pieces there are.
    pub fn count(&self) -> usize {
        self.claims.count
    }

    /// Piece `i`, which nobody claimed before.
    #[allow(clippy::mut_from_ref, reason = "every piece is handed out at most once")]
    pub fn claim(&self, i: usize) -> &'a mut [T] {
        self.claims.take(i);
        let start = i * self.size;
        let length = self.size.min(self.length - start);
        // SAFETY: i < count, so start + length <= self.length; the piece overlaps no other and was not claimed before.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), length) }
    }
}

/// A row-major matrix cut into panels of `width` columns (the last may be narrower): each panel is a range of columns
/// of every row, for several threads to write.
pub struct Panels<'a, T> {
    data: *mut T,
    rows: usize,
    columns: usize,
    width: usize,
    claims: Claims,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: as for `Chunks`.
unsafe impl<T: Send> Sync for Panels<'_, T> {}
// SAFETY: as for `Chunks`.
unsafe impl<T: Send> Send for Panels<'_, T> {}

impl<'a, T> Panels<'a, T> {
    /// Cuts `data`, whose rows have `columns` elements, into panels of `width` columns.
    pub fn new(data: &'a mut [T], columns: usize, width: usize) -> Self {
        assert!(columns > 0 && width > 0 && data.len().is_multiple_of(columns), "whole rows, and panels with columns");
        let rows = data.len() / columns;
        Self {
            data: data.as_mut_ptr(),
            rows,
            columns,
            width,
            claims: Claims::new(columns.div_ceil(width)),
            lifetime: PhantomData,
        }
    }

    /// How many panels there are.
    pub fn count(&self) -> usize {
        self.claims.count
    }

    /// Panel `i`, which nobody claimed before.
    pub fn claim(&self, i: usize) -> Panel<'a, T> {
        self.claims.take(i);
        let first = i * self.width;
        Panel {
            data: self.data,
            rows: self.rows,
            columns: self.columns,
            first,
            width: self.width.min(self.columns - first),
            lifetime: PhantomData,
        }
    }
}

/// A range of columns of every row of a matrix.
pub struct Panel<'a, T> {
    data: *mut T,
    rows: usize,
    columns: usize,
    first: usize,
    width: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for `&mut [T]` pieces that nobody else holds.
unsafe impl<T: Send> Send for Panel<'_, T> {}

impl<T> Panel<'_, T> {
    /// How many rows the matrix has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The first column of the panel.
    pub fn first(&self) -> usize {
        self.first
    }

    /// How many columns the panel has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The panel's part of row `row`.
    #[inline(always)]
    pub fn row(&mut self, row: usize) -> &mut [T] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: row < rows and first + width <= columns keep it inside the matrix; the columns of this panel are
        // this panel's alone, and `&mut self` keeps a second borrow away.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.columns + self.first), self.width) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Pool;

    #[test]
    fn chunks_cover_the_slice_once() {
        for length in [0, 1, 4, 5, 130] {
            let mut data = vec![0; length];
            let chunks = Chunks::new(&mut data, 4);
            Pool::new(2).each(chunks.count(), &|i| {
                for x in chunks.claim(i) {
                    *x += i + 1;
                }
            });
            let expected: Vec<usize> = (0..length).map(|i| i / 4 + 1).collect();
            assert_eq!(data, expected);
        }
    }

    #[test]
    fn panels_cover_the_matrix_once() {
        let (rows, columns) = (3, 10);
        let mut data = vec![0; rows * columns];
        let panels = Panels::new(&mut data, columns, 4);
        assert_eq!(panels.count(), 3);
        Pool::new(2).each(panels.count(), &|i| {
            let mut panel = panels.claim(i);
            assert_eq!((panel.first(), panel.width()), (4 * i, if i == 2 { 2 } else { 4 }));
            for row in 0..panel.rows() {
                for x in panel.row(row) {
                    *x += 100 * row + i + 1;
                }
            }
        });
        let expected: Vec<usize> = (0..rows * columns).map(|i| 100 * (i / columns) + i % columns / 4 + 1).collect();
        assert_eq!(data, expected);
    }

    #[test]
    #[should_panic(expected = "claimed before")]
    fn a_piece_is_claimed_once() {
        let mut data = [0; 8];
        let chunks = Chunks::new(&mut data, 4);
        chunks.claim(1);
        chunks.claim(1);
    }

    #[test]
    #[should_panic(expected = "piece 2 of 2")]
    fn a_piece_outside_is_refused() {
        let mut data = [0; 8];
        Panels::new(&mut data, 8, 4).claim(2);
    }
}
