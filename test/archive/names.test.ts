import test from 'ava'
import {cleanName} from '../../src/archive/names.ts'
import {type Member, openBytes, paxOf} from '../helpers/image.ts'

const file = {name: 'a/layer.tar', body: 'content'}
const symlink = (name: string, link: string): Member => ({name, type: '2', link})
const hardLink = (name: string, link: string): Member => ({name, type: '1', link})

test('cleans a name of what does not change its meaning', (t) => {
  t.is(cleanName('./a//b/./c/'), 'a/b/c')
  t.is(cleanName('/a'), 'a')
  t.is(cleanName('./'), '')
  t.is(cleanName('a/../b'), 'a/../b')
})

const found: readonly (readonly [string, readonly Member[]])[] = [
  ['a symbolic link beside its target', [file, symlink('a/link', 'layer.tar')]],
  ['a symbolic link to another directory', [file, symlink('b/link', '../a/layer.tar')]],
  ['a symbolic link before its target', [symlink('b/link', '../a/layer.tar'), file]],
  ['a symbolic link with detours that stay inside', [file, symlink('b/c/link', '.././/../a/../a/layer.tar')]],
  ['a hard link', [file, hardLink('b/link', 'a/layer.tar')]],
  ['a hard link with ./', [file, hardLink('b/link', './a/layer.tar')]],
  ['a hard link before its target', [hardLink('b/link', 'a/layer.tar'), file]],
  [
    'links of both kinds in a row',
    [file, symlink('b/link', '../c/hard'), hardLink('c/hard', 'd'), symlink('d', 'a/layer.tar')],
  ],
  [
    'a row of eight links',
    [
      file,
      symlink('b/link', '../1'),
      ...[1, 2, 3, 4, 5, 6].map((n) => symlink(`${n}`, `${n + 1}`)),
      symlink('7', 'a/layer.tar'),
    ],
  ],
]

for (const [what, members] of found) {
  test(`resolves ${what}`, async (t) => {
    const archive = await openBytes(t, members)
    const name = archive.members.has('b/link') ? 'b/link' : archive.members.has('b/c/link') ? 'b/c/link' : 'a/link'
    const blob = archive.blob(name)
    t.is((await blob?.read(0, 100))?.toString(), 'content')
    t.is(blob?.name, 'a/layer.tar')
  })
}

const refused: readonly (readonly [string, readonly Member[]])[] = [
  ['an absolute symbolic link', [file, symlink('link', '/a/layer.tar')]],
  ['a symbolic link to a file of this machine', [file, symlink('link', '/etc/passwd')]],
  ['a symbolic link out of the archive', [file, symlink('link', '../a/layer.tar')]],
  ['a symbolic link out of the archive and back', [file, symlink('link', 'a/../../a/layer.tar')]],
  ['a symbolic link to nothing', [file, symlink('link', 'a/other')]],
  ['an empty symbolic link', [file, symlink('link', '')]],
  ['a hard link to nothing', [file, hardLink('link', 'a/other')]],
  ['a hard link with ..', [file, hardLink('link', 'b/../a/layer.tar')]],
  ['a link to itself', [symlink('link', 'link')]],
  ['a hard link to itself', [hardLink('link', 'link')]],
  ['two links to each other', [symlink('link', 'other'), hardLink('other', 'link')]],
  [
    'a row of nine links',
    [
      file,
      symlink('link', '1'),
      ...[1, 2, 3, 4, 5, 6, 7].map((n) => symlink(`${n}`, `${n + 1}`)),
      symlink('8', 'a/layer.tar'),
    ],
  ],
  ['a link to a directory', [{name: 'd/', type: '5'}, symlink('link', 'd')]],
  ['a link to a fifo', [{name: 'f', type: '6'}, symlink('link', 'f')]],
  ['a directory', [{name: 'link/', type: '5'}]],
  ['a fifo', [{name: 'link', type: '6'}]],
  ['a character device', [{name: 'link', type: '3'}]],
  [
    'a name that is stored twice',
    [
      {name: 'link', body: '1'},
      {name: 'link', body: '2'},
    ],
  ],
  [
    'a name that is stored twice in two spellings',
    [
      {name: 'link', body: '1'},
      {name: './link', body: '2'},
    ],
  ],
  [
    'a file that is later a directory',
    [
      {name: 'link', body: '1'},
      {name: 'link/', type: '5'},
    ],
  ],
  [
    'a file that is later a directory, twice',
    [
      {name: 'link', body: '1'},
      {name: 'link/', type: '5'},
      {name: 'link/', type: '5'},
    ],
  ],
  ['a link that goes back from where another leads', [file, symlink('b', 'c/d'), symlink('link', 'b/../a/layer.tar')]],
  [
    'a link with a target of 5,000 bytes',
    [file, paxOf({linkpath: `${'./'.repeat(2500)}a/layer.tar`}), symlink('link', '')],
  ],
  ['a link to a name that is stored twice', [file, file, symlink('link', 'a/layer.tar')]],
]

for (const [what, members] of refused) {
  test(`refuses ${what}`, async (t) => {
    const archive = await openBytes(t, members)
    t.throws(() => archive.blob('link'), {code: 'ARCHIVE_INVALID'})
  })
}

const directory = {name: 'd/', type: '5'}
const elsewhere: readonly (readonly [string, readonly Member[]])[] = [
  ['below a symbolic link', [symlink('d', '.'), {name: 'd/manifest.json'}]],
  ['below a symbolic link that comes later', [{name: 'd/manifest.json'}, symlink('d', '.')]],
  ['far below a symbolic link', [{name: 'd-'}, {name: 'd.'}, symlink('d', 'a'), {name: 'd/e/f'}, {name: 'd0'}]],
  ['below a hard link', [file, hardLink('d', 'a/layer.tar'), {name: 'd/manifest.json'}]],
  ['below a file', [{name: 'd'}, {name: 'd/manifest.json'}]],
  ['below a link that is later a directory', [symlink('d', '.'), {name: 'd/x'}, directory, directory]],
  ['below a directory that is later a link', [directory, {name: 'd/x'}, symlink('d', '.')]],
  ['with .. in its name', [{name: 'a/../manifest.json'}]],
  ['above the archive', [{name: '../manifest.json'}]],
]

for (const [what, members] of elsewhere) {
  test(`refuses a member ${what}`, async (t) => {
    await t.throwsAsync(openBytes(t, [file, ...members]), {code: 'ARCHIVE_INVALID'})
  })
}

test('takes members beside links, and below directories that repeat', async (t) => {
  const members = [
    directory,
    file,
    symlink('d/e', '../a/layer.tar'),
    {name: 'd/e-'},
    {name: 'd/e.f'},
    directory,
    {name: 'd/..g'},
  ]
  const archive = await openBytes(t, members)
  t.is(archive.members.size, 6)
  t.is((await archive.blob('d/e')!.read(0, 100)).toString(), 'content')
})

test('follows no link on the way to a name', async (t) => {
  const archive = await openBytes(t, [file, symlink('link', 'a')])
  t.is(archive.blob('link/layer.tar'), undefined)
})

test('minds repeated names only where they are needed', async (t) => {
  const archive = await openBytes(t, [file, {name: 'x'}, {name: 'x'}, {name: 'a/', type: '5'}, {name: 'a/', type: '5'}])
  t.is((await archive.blob('a/layer.tar')!.read(0, 100)).toString(), 'content')
})
