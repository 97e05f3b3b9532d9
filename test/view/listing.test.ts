import test from 'ava'
import type {ListedFile} from '../../src/list-files.ts'
import {fromText} from '../../src/text.ts'
import {formatListing, formatPaths, listedDocument} from '../../src/view/listing.ts'

function file(path: string, facts: Partial<ListedFile> = {}): ListedFile {
  return {
    path: fromText(path),
    kind: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: {seconds: 0, nanoseconds: 0},
    xattrs: new Map(),
    links: 1,
    layer: 0,
    ...facts,
  }
}

const modes: Record<string, Partial<ListedFile>> = {
  '-rw-r--r--': {},
  'drwxr-x---': {kind: 'directory', mode: 0o750},
  '-rwsr-sr-x': {mode: 0o6755},
  '-rwSr-Sr--': {mode: 0o6644},
  drwxrwxrwt: {kind: 'directory', mode: 0o1777},
  drwxrwxrwT: {kind: 'directory', mode: 0o1776},
  'brw-rw----': {kind: 'block', mode: 0o660, device: {major: 8, minor: 1}},
  'prw-------': {kind: 'fifo', mode: 0o600},
  '-rwxr-xr-x+': {mode: 0o755, xattrs: new Map([['security.capability', 'x']])},
}

for (const [text, facts] of Object.entries(modes)) {
  test(`a mode is shown as ${text}`, (t) => {
    t.is([...formatListing([file('x', facts)])][0]?.split(' ')[0], text)
  })
}

test('columns are aligned, devices have their numbers where files have a size', (t) => {
  t.deepEqual(
    [
      ...formatListing([
        file('', {kind: 'directory', mode: 0o755}),
        file('etc/shadow', {uid: 0, gid: 42, size: 12_345, links: 2, mtime: {seconds: 1_371_157_430, nanoseconds: 5}}),
        file('dev/null', {kind: 'character', mode: 0o666, device: {major: 1, minor: 3}}),
      ]),
    ],
    [
      'drwxr-xr-x 1 0  0     0 1970-01-01T00:00:00Z /',
      '-rw-r--r-- 2 0 42 12345 2013-06-13T21:03:50Z /etc/shadow',
      'crw-rw-rw- 1 0  0  1, 3 1970-01-01T00:00:00Z /dev/null',
    ],
  )
})

test('links say where they lead, whiteouts that they are some', (t) => {
  const names = [
    ...formatListing([
      file('a', {kind: 'symlink', link: '../b'}),
      file('a', {kind: 'hardlink', link: 'b'}),
      file('.wh.a', {whiteout: 'remove'}),
      file('b/.wh..wh..opq', {whiteout: 'opaque'}),
    ]),
  ].map((line) => line.slice(line.indexOf('/')))
  t.deepEqual(names, ['/a -> ../b', '/a link to /b', '/.wh.a (whiteout)', '/b/.wh..wh..opq (opaque)'])
})

test('names cannot reach the terminal, whatever bytes they have', (t) => {
  const hostile = [file('a\u001b[2Jb'), file('a\nb'), {...file(''), path: 'a\xffb'}]
  t.deepEqual([...formatPaths(hostile)], ['/a\\x1b[2Jb', '/a\\nb', '/a\\xffb'])
  t.deepEqual(
    [...formatListing(hostile)].map((line) => line.slice(line.indexOf('/'))),
    ['/a\\x1b[2Jb', '/a\\nb', '/a\\xffb'],
  )
})

test('a document has everything, and bytes that are no text in base64', (t) => {
  const document = listedDocument({
    ...file('', {kind: 'symlink', mode: 0o777, link: '\xfe', mtime: {seconds: -1, nanoseconds: 999_999_999}, layer: 3}),
    path: 'a\xff',
    xattrs: new Map([['user.x', '\x00\xff']]),
  })
  t.deepEqual(document, {
    path: '/a\ufffd',
    pathBase64: Buffer.from('/a\xff', 'latin1').toString('base64'),
    type: 'symlink',
    mode: '0777',
    uid: 0,
    gid: 0,
    size: 0,
    links: 1,
    layer: 3,
    mtime: '1969-12-31T23:59:59.999999999Z',
    link: '\ufffd',
    linkBase64: '/g==',
    xattrs: {'user.x': 'AP8='},
  })
})

test('a time that no calendar holds is shown in seconds', (t) => {
  t.is(listedDocument(file('x', {mtime: {seconds: 2 ** 52, nanoseconds: 0}})).mtime, '@4503599627370496')
})

test('a list of nothing is nothing', (t) => {
  t.deepEqual([...formatListing([])], [])
})
