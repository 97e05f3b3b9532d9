/** Names, targets, numbers and values that programs are known to stumble over. */

/** Names of entries and targets of links. @param outside directory that nothing may reach */
export function hostileNames(outside: string): string[] {
  // From a target in a directory beside it.
  const up = `../../${outside.split('/').at(-1)}`
  return [
    ...['a', 'b', 'c', 'a/b', 'a/b/c', 'b/a', './a', 'a/', '/a', '//a//b', 'a/./b'],
    ...['', '.', './', '/', '..', 'a/..', 'a/../../b', up, `${up}/file`, `a/../${up}/new`],
    ...[
      outside,
      `${outside}/file`,
      `${outside}/new`,
      `${outside}/a/b`,
      '/proc/self/root',
      '/proc/self/fd',
      '/proc/self/cwd',
    ],
    ...['.wh.', '.wh..', '.wh...', '.wh.a', 'a/.wh.b', '.wh..wh..opq', 'a/.wh..wh..opq', '.wh..wh.plnk/1.2', '.wh.a/b'],
    ...['n'.repeat(255), 'n'.repeat(256), 'd/'.repeat(60), `${'e'.repeat(99)}/f`, 'a/'.repeat(700)],
    ...['\xff\xfe', 'a\nb', '\x1b[31mred', '\x7f', 'caf\xc3\xa9', 'a\\b', 'c:\\a', ' ', '__proto__', 'constructor'],
    ...['layer.tar', 'manifest.json', '../0/layer.tar', '.imgtool-0123456789ab'],
  ]
}

/** Targets of links that lead out, where a link can. */
export function waysOut(outside: string): string[] {
  const up = `../../${outside.split('/').at(-1)}`
  return [outside, `${outside}/a`, up, `${up}/a/b`, `a/../${up}`, `/proc/self/root${outside}`]
}

/** Values of number fields, as the bytes of a field. */
export const hostileNumbers: readonly string[] = [
  ...['', '0', '1', '7', '777', '7777', '12345670', '77777777777', '0000644\0', ' 644 ', '-1', '9', '0x10', '1e3'],
  ...[
    '\x80\0\0\0\0\0\0\0\0\0\0\x01',
    '\x80\0\0\0\0\0\0\0\x01\0\0\0',
    '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff',
  ],
  ...['\x80\x7f\xff\xff\xff\xff\xff\xff', '\xff\xff\xff\xff', '\x80\0\0\0\0\x20\0\0\0\0\0\0', '\0\0\0\0\0\0\0\0'],
]

/** Records of PAX headers. */
export function hostileRecords(outside: string): (readonly [string, string])[] {
  const names = ['path', 'linkpath', 'GNU.sparse.name'].flatMap((key) =>
    ['a', '../x', outside, 'a/b', '.', '', '.wh.a', 'a\0b', 'p/'.repeat(200), 'q'.repeat(256)].map(
      (value) => [key, value] as const,
    ),
  )
  const numbers = [
    'size',
    'uid',
    'gid',
    'mtime',
    'GNU.sparse.size',
    'GNU.sparse.realsize',
    'GNU.sparse.numblocks',
  ].flatMap((key) =>
    [
      '0',
      '1',
      '512',
      '-1',
      '1.5',
      '4294967295',
      '99999999999999999999',
      '-62135596800',
      'x',
      '1234567890.123456789',
    ].map((value) => [key, value] as const),
  )
  return [
    ...names,
    ...numbers,
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.minor', '1'],
    ['GNU.sparse.map', '0,1,512,1'],
    ['GNU.sparse.map', '0,0'],
    ['GNU.sparse.map', '512,1,0,1'],
    ['SCHILY.xattr.user.a', 'value'],
    ['SCHILY.xattr.user.b', 'x'.repeat(5000)],
    ['SCHILY.xattr.security.capability', '\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0'],
    ['SCHILY.xattr.security.capability', 'short'],
    ['SCHILY.xattr.trusted.overlay.opaque', 'y'],
    ['SCHILY.xattr.system.posix_acl_access', 'x'],
    ['LIBARCHIVE.xattr.user.a', 'dmFsdWU='],
    ['hdrcharset', 'BINARY'],
    ['comment', 'a\nb'],
    ['__proto__', 'x'],
  ]
}

/** Values in the place of others in JSON documents. */
export const hostileValues: readonly unknown[] = [
  ...[
    null,
    true,
    0,
    -1,
    1.5,
    2 ** 53,
    1e308,
    '',
    ' ',
    'a',
    [],
    {},
    [[]],
    [null],
    {a: 1},
    '\u0000',
    '\u001b[31m',
    '\ud800',
  ],
  ...[
    'sha256:',
    `sha256:${'0'.repeat(64)}`,
    `sha256:${'A'.repeat(64)}`,
    `sha512:${'0'.repeat(64)}`,
    'md5:00',
    '../../etc/passwd',
  ],
  ...[
    '0'.repeat(64),
    `${'1'.repeat(64)}/layer.tar`,
    'manifest.json',
    'index.json',
    'oci-layout',
    'name:tag',
    ':',
    'a:b:c',
    '@0',
  ],
  ...['2020-01-02T03:04:05Z', '0000-00-00T00:00:00Z', 'linux', 'windows', 'x'.repeat(70_000), ['x', 'x'], [1, 'a', {}]],
]

/** Keys that documents may get. */
export const hostileKeys: readonly string[] = [
  ...[
    '__proto__',
    'constructor',
    'toString',
    'Config',
    'config',
    'Layers',
    'layers',
    'manifests',
    'RepoTags',
    'rootfs',
  ],
  ...['diff_ids', 'history', 'empty_layer', 'digest', 'size', 'mediaType', 'urls', 'id', 'parent', 'platform', 'data'],
  ...['schemaVersion', 'annotations', 'container_config', 'Size', 'created', 'created_by', '', 'DIGEST', 'subject'],
]
