//! Blocks as structs of bytes, and the walk over them.

/// Declares a block: byte arrays in file order, alignment 1, its size checked when compiling.
macro_rules! block {
    ($(#[$doc:meta])* $size:literal bytes { $($(#[$field_doc:meta])* $field:ident: $bytes:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct Block {
            $($(#[$field_doc])* pub $field: [u8; $bytes],)+
        }

        const _: () = assert!(size_of::<Block>() == $size && align_of::<Block>() == 1);

        impl Block {
            /// Bytes of one block.
            pub const BYTES: usize = $size;

            /// The block that these bytes hold.
            #[inline(always)]
            pub fn read(bytes: &[u8; $size]) -> Self {
                let mut block = Self { $($field: [0; $bytes],)+ };
                let mut at = 0;
                $(
                    block.$field.copy_from_slice(&bytes[at..at + $bytes]);
                    at += $bytes;
                )+
                debug_assert_eq!(at, $size);
                block
            }
        }
    };
}

pub(super) use block;

/// Calls `step` with each block of `BYTES` bytes and its `VALUES` values.
#[inline(always)]
pub(super) fn for_each<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
    step: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (values, _) = out.as_chunks_mut::<VALUES>();
    for (block, values) in blocks.iter().zip(values) {
        step(block, values);
    }
}
