/** What archives must not have, each with the code that it is refused with. */
import type { TarMember } from './tar.ts';

type Attack = readonly [title: string, members: readonly TarMember[], code: string];

/** Behind the manifest and `rootfs/` of an ACI. */
export const ACI_ATTACKS: readonly Attack[] = [
  [
    'a name with .. at the end of a way',
    [{ name: 'rootfs/../../victim', data: 'x' }],
    'ARCHIVE_ESCAPE',
  ],
  ['a name that begins with ..', [{ name: '../victim', data: 'x' }], 'ARCHIVE_ESCAPE'],
  ['a .. that stays inside', [{ name: 'rootfs/a/../b', data: 'x' }], 'ARCHIVE_ESCAPE'],
  ['an absolute name beside rootfs', [{ name: '/victim', data: 'x' }], 'ARCHIVE_LAYOUT'],
  [
    'a file below an absolute symlink',
    [
      { name: 'rootfs/a', type: '2', link: '/tmp' },
      { name: 'rootfs/a/jetpack-escaped', data: 'x' },
    ],
    'ARCHIVE_SYMLINK_PARENT',
  ],
  [
    'a file below a chain of relative symlinks',
    [
      { name: 'rootfs/a', type: '2', link: '..' },
      { name: 'rootfs/b', type: '2', link: 'a' },
      { name: 'rootfs/b/victim', data: 'x' },
    ],
    'ARCHIVE_SYMLINK_PARENT',
  ],
  [
    'a folder below a symlink to a folder of the archive',
    [
      { name: 'rootfs/real/' },
      { name: 'rootfs/a', type: '2', link: 'real' },
      { name: 'rootfs/a/sub/' },
    ],
    'ARCHIVE_SYMLINK_PARENT',
  ],
  [
    'a file in the place of a symlink',
    [
      { name: 'rootfs/a', type: '2', link: '../victim' },
      { name: 'rootfs/a', data: 'x' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  [
    'a folder in the place of a symlink',
    [{ name: 'rootfs/a', type: '2', link: '..' }, { name: 'rootfs/a/' }],
    'ARCHIVE_DUPLICATE',
  ],
  ['rootfs itself as a symlink', [{ name: 'rootfs', type: '2', link: '..' }], 'ARCHIVE_LAYOUT'],
  [
    'a hard link out of the archive',
    [{ name: 'rootfs/a', type: '1', link: '../victim' }],
    'ARCHIVE_ESCAPE',
  ],
  [
    'a hard link to an absolute name',
    [{ name: 'rootfs/a', type: '1', link: '/etc/passwd' }],
    'ARCHIVE_HARD_LINK',
  ],
  [
    'a hard link to the manifest',
    [{ name: 'rootfs/a', type: '1', link: 'manifest' }],
    'ARCHIVE_HARD_LINK',
  ],
  [
    'a hard link to what is not there',
    [{ name: 'rootfs/a', type: '1', link: 'rootfs/b' }],
    'ARCHIVE_HARD_LINK',
  ],
  [
    'a hard link through a symlink',
    [
      { name: 'rootfs/s', type: '2', link: '..' },
      { name: 'rootfs/a', type: '1', link: 'rootfs/s/victim' },
    ],
    'ARCHIVE_HARD_LINK',
  ],
  [
    'a hard link to a folder',
    [{ name: 'rootfs/d/' }, { name: 'rootfs/a', type: '1', link: 'rootfs/d' }],
    'ARCHIVE_HARD_LINK',
  ],
  [
    'a device node outside of dev',
    [{ name: 'rootfs/home/sda', type: '4', device: [8, 0] }],
    'ARCHIVE_ENTRY_TYPE',
  ],
  [
    'a file below a device node',
    [
      { name: 'rootfs/dev/null', type: '3', device: [1, 3] },
      { name: 'rootfs/dev/null/x', data: 'x' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  [
    'the same file twice',
    [
      { name: 'rootfs/a', data: '1' },
      { name: 'rootfs/a', data: '2' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  [
    'the same file in two spellings',
    [
      { name: 'rootfs/d/a', data: '1' },
      { name: './rootfs//d/./a', data: '2' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  ['the same folder twice', [{ name: 'rootfs/d/' }, { name: 'rootfs/d/' }], 'ARCHIVE_DUPLICATE'],
  ['rootfs twice', [{ name: 'rootfs/' }], 'ARCHIVE_DUPLICATE'],
  ['two manifests', [{ name: 'manifest', data: '{}' }], 'ARCHIVE_DUPLICATE'],
  [
    'a file that is a folder as well',
    [
      { name: 'rootfs/a', data: '1' },
      { name: 'rootfs/a/b', data: '2' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  ['a third name at the top', [{ name: 'extra', data: '' }], 'ARCHIVE_LAYOUT'],
  [
    'a name of 5000 bytes',
    [{ name: 'x', pax: { path: `rootfs/${'a/'.repeat(2496)}b` } }],
    'ARCHIVE_NAME_TOO_LONG',
  ],
  [
    'a file name of 256 bytes',
    [{ name: 'x', pax: { path: `rootfs/${'a'.repeat(256)}` } }],
    'ARCHIVE_NAME_TOO_LONG',
  ],
  ['a name with a NUL byte', [{ name: 'x', pax: { path: 'rootfs/a\0b' } }], 'ARCHIVE_ENTRY_NAME'],
  [
    'a link with a NUL byte',
    [{ name: 'rootfs/a', type: '2', pax: { linkpath: '/\0b' } }],
    'ARCHIVE_ENTRY_NAME',
  ],
  ['an empty name', [{ name: '' }], 'ARCHIVE_ENTRY_NAME'],
  ['a symlink to nothing', [{ name: 'rootfs/a', type: '2' }], 'ARCHIVE_ENTRY_NAME'],
  ['a wrong checksum', [{ name: 'rootfs/a', badChecksum: true }], 'ARCHIVE_CORRUPT'],
  [
    'a size that is no number',
    [{ name: 'rootfs/a', patch: (block) => block.write('zz', 124) }],
    'ARCHIVE_CORRUPT',
  ],
  ['a negative size', [{ name: 'rootfs/a', size: -1 }], 'ARCHIVE_CORRUPT'],
  [
    'a negative size in the extended header',
    [{ name: 'rootfs/a', pax: { size: '-1' } }],
    'ARCHIVE_CORRUPT',
  ],
  ['an owner that means nobody', [{ name: 'rootfs/a', uid: 0xffffffff }], 'ARCHIVE_CORRUPT'],
  [
    'a size beyond what numbers hold',
    [{ name: 'rootfs/a', patch: (block) => block.fill(0xef, 124, 136) }],
    'ARCHIVE_CORRUPT',
  ],
  ['a declared size beyond the limit', [{ name: 'rootfs/a', size: 2 ** 45 }], 'ARCHIVE_TOO_LARGE'],
  ['an unknown kind of entry', [{ name: 'rootfs/a', type: 'Q' }], 'ARCHIVE_ENTRY_TYPE'],
  ['the continuation of another volume', [{ name: 'rootfs/a', type: 'M' }], 'ARCHIVE_ENTRY_TYPE'],
  [
    'an extended header beyond the limit',
    [{ name: 'x', type: 'x', size: 2 ** 30 }],
    'ARCHIVE_HEADER_TOO_LARGE',
  ],
  [
    'a long name beyond the limit',
    [{ name: 'x', type: 'L', size: 2 ** 30, magic: 'gnu' }],
    'ARCHIVE_HEADER_TOO_LARGE',
  ],
  [
    'a malformed extended header',
    [{ name: 'x', type: 'x', data: '99999 path=a\n' }],
    'ARCHIVE_CORRUPT',
  ],
];

/** The layer below those of LAYER_ATTACKS. */
export const LOWER_MEMBERS: readonly TarMember[] = [
  { name: 'd/', mode: 0o751 },
  { name: 'd/one', data: 'one' },
  { name: 'd/sub/two', data: 'two' },
  { name: 'f', data: 'lower' },
  { name: 'also-f', type: '1', link: 'f' },
  { name: 's', type: '2', link: 'd' },
  { name: 'out', type: '2', link: '../outside' },
];

export const LAYER_ATTACKS: readonly Attack[] = [
  ['a way out', [{ name: '../outside/new', data: 'x' }], 'ARCHIVE_ESCAPE'],
  ['a way out that comes back', [{ name: '../root/x', data: 'x' }], 'ARCHIVE_ESCAPE'],
  ['a whiteout of the root', [{ name: '.wh.' }], 'ARCHIVE_WHITEOUT'],
  ['a whiteout of the root, spelled otherwise', [{ name: '/.wh.' }], 'ARCHIVE_WHITEOUT'],
  ['a whiteout of its own folder', [{ name: 'd/.wh..' }], 'ARCHIVE_WHITEOUT'],
  ['a whiteout of the folder above', [{ name: 'd/.wh...' }], 'ARCHIVE_WHITEOUT'],
  ['a whiteout of what is above the root', [{ name: '.wh...' }], 'ARCHIVE_WHITEOUT'],
  ['a whiteout by way of ..', [{ name: 'd/../.wh.f' }], 'ARCHIVE_ESCAPE'],
  ['a whiteout through a symlink', [{ name: 'out/.wh.secret' }], 'ARCHIVE_WHITEOUT'],
  ['a whiteout through a symlink inside', [{ name: 's/.wh.one' }], 'ARCHIVE_WHITEOUT'],
  ['a whiteout deep behind a symlink', [{ name: 's/sub/.wh.two' }], 'ARCHIVE_WHITEOUT'],
  ['an opaque symlink', [{ name: 'out/.wh..wh..opq' }], 'ARCHIVE_WHITEOUT'],
  ['an opaque file', [{ name: 'f/.wh..wh..opq' }], 'ARCHIVE_WHITEOUT'],
  [
    'an opaque file of its own',
    [{ name: 'n', data: 'x' }, { name: 'n/.wh..wh..opq' }],
    'ARCHIVE_WHITEOUT',
  ],
  ['a file below a whiteout', [{ name: '.wh.d/x', data: 'x' }], 'ARCHIVE_WHITEOUT'],
  [
    'a file below a symlink of its own',
    [
      { name: 'f', type: '2', link: '../outside' },
      { name: 'f/new', data: 'x' },
    ],
    'ARCHIVE_SYMLINK_PARENT',
  ],
  [
    'a file below a symlink that it put in the place of a folder',
    [
      { name: 'd', type: '2', link: '../outside' },
      { name: 'd/new', data: 'x' },
    ],
    'ARCHIVE_SYMLINK_PARENT',
  ],
  [
    'a file below a chain of symlinks',
    [
      { name: 'x', type: '2', link: 'out' },
      { name: 'x/y/z', data: 'x' },
    ],
    'ARCHIVE_SYMLINK_PARENT',
  ],
  [
    'a hard link through a symlink',
    [{ name: 'h', type: '1', link: 'out/secret' }],
    'ARCHIVE_HARD_LINK',
  ],
  ['a hard link out', [{ name: 'h', type: '1', link: '../outside/secret' }], 'ARCHIVE_ESCAPE'],
  [
    'a hard link to a host file',
    [{ name: 'h', type: '1', link: '/etc/passwd' }],
    'ARCHIVE_HARD_LINK',
  ],
  ['a hard link to a folder', [{ name: 'h', type: '1', link: 'd' }], 'ARCHIVE_HARD_LINK'],
  ['a hard link to itself', [{ name: 'f', type: '1', link: 'f' }], 'ARCHIVE_HARD_LINK'],
  [
    'a hard link in the place of its target',
    [{ name: 'd', type: '1', link: 'd/one' }],
    'ARCHIVE_HARD_LINK',
  ],
  ['a hard link to the root', [{ name: 'h', type: '1', link: '.' }], 'ARCHIVE_HARD_LINK'],
  ['a hard link to a whiteout', [{ name: 'h', type: '1', link: 'd/.wh.one' }], 'ARCHIVE_HARD_LINK'],
  [
    'a hard link to what it took away',
    [{ name: '.wh.f' }, { name: 'h', type: '1', link: 'f' }],
    'ARCHIVE_HARD_LINK',
  ],
  [
    'a file twice',
    [
      { name: 'f', data: '1' },
      { name: 'f', data: '2' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  [
    'a symlink and then a file',
    [
      { name: 'n', type: '2', link: '../outside/secret' },
      { name: 'n', data: 'x' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  ['a file and then a folder', [{ name: 'n', data: 'x' }, { name: 'n/' }], 'ARCHIVE_DUPLICATE'],
  ['a folder and then a file', [{ name: 'd/' }, { name: 'd', data: 'x' }], 'ARCHIVE_DUPLICATE'],
  [
    'a file, and one below it',
    [
      { name: 'f', data: '1' },
      { name: 'f/x', data: '2' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  [
    'a file and then a FIFO',
    [
      { name: 'n', data: 'x' },
      { name: 'n', type: '6' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  [
    'a FIFO and then a file',
    [
      { name: 'n', type: '6' },
      { name: 'n', data: 'x' },
    ],
    'ARCHIVE_DUPLICATE',
  ],
  ['a root that is a symlink', [{ name: './', type: '2', link: '..' }], 'ARCHIVE_LAYOUT'],
  ['a root that is a file', [{ name: '.', data: 'x' }], 'ARCHIVE_LAYOUT'],
  ['a device node', [{ name: 'sda', type: '4', device: [8, 0] }], 'ARCHIVE_ENTRY_TYPE'],
  [
    'a name of 5000 bytes',
    [{ name: 'x', pax: { path: 'a/'.repeat(2500) } }],
    'ARCHIVE_NAME_TOO_LONG',
  ],
  [
    'a name that is too long with the root',
    [{ name: 'x', pax: { path: `${`${'a'.repeat(250)}/`.repeat(16)}${'b'.repeat(70)}` } }],
    'ARCHIVE_NAME_TOO_LONG',
  ],
  [
    'a hard link to a name of 4090 bytes',
    [{ name: 'h', type: '1', pax: { linkpath: `${'a/'.repeat(2044)}b` } }],
    'ARCHIVE_HARD_LINK',
  ],
  ['a name with NUL', [{ name: 'x', pax: { path: 'a\0b' } }], 'ARCHIVE_ENTRY_NAME'],
  ['a declared size beyond the limit', [{ name: 'n', size: 2 ** 45 }], 'ARCHIVE_TOO_LARGE'],
];
