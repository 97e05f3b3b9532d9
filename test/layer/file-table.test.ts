import test from 'ava'
import {FileTable} from '../../src/layer/file-table.ts'
import type {Entry} from '../../src/layer/tar/entry.ts'
import {readEntry} from '../helpers/entries.ts'
import {file, tar} from '../helpers/tar.ts'

const plain: Entry = {...readEntry(tar(file('f'))), path: ''}

/** What comes back of an entry that others stand around. */
function kept(entry: Entry): Entry {
  const table = new FileTable()
  const [, number] = [plain, entry, plain].map((each) => table.add(each))
  return table.read(number!)
}

test('an entry keeps the largest and the smallest of everything', (t) => {
  const most = {
    ...plain,
    mode: 0o7777,
    uid: 0xffff_fffe,
    gid: 0xffff_fffe,
    size: Number.MAX_SAFE_INTEGER,
    mtime: {seconds: Number.MAX_SAFE_INTEGER, nanoseconds: 999_999_999},
    xattrs: new Map([['user.x', '\0\xff']]),
  }
  t.deepEqual(kept(most), most)
  for (const seconds of [-Number.MAX_SAFE_INTEGER, -(2 ** 32), -(2 ** 31), -1, 0, 2 ** 31, 2 ** 32]) {
    const least = {...plain, mode: 0, mtime: {seconds, nanoseconds: 0}}
    t.deepEqual(kept(least), least)
  }
})

for (const kind of ['file', 'directory', 'symlink', 'hardlink', 'character', 'block', 'fifo'] as const) {
  test(`a ${kind} stays one`, (t) => {
    const isLink = kind === 'symlink' || kind === 'hardlink'
    const isDevice = kind === 'character' || kind === 'block'
    const entry = {
      ...plain,
      kind,
      ...(isLink && {link: 'x'}),
      ...(isDevice && {deviceMajor: 0xfff, deviceMinor: 0xf_ffff}),
    }
    t.deepEqual(kept(entry), entry)
  })
}

test('entries have the numbers in which they came, however many they are', (t) => {
  const table = new FileTable()
  for (let n = 0; n < 20_000; n++) t.is(table.add({...plain, size: n}), n)
  for (let n = 0; n < 20_000; n++) t.is(table.read(n).size, n)
})
