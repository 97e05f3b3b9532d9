import test from 'ava'
import {ChangeDecoder, type ChangeSink, type Warning, whiteoutKind} from '../../src/layer/change.ts'
import {TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits} from '../../src/limits.ts'
import {directory, file, hardlink, member, symlink, tar} from '../helpers/tar.ts'

/** Writes down every change, one line each. */
class Log implements ChangeSink {
  readonly lines: string[] = []

  add({kind, path, link}: Parameters<ChangeSink['add']>[0]): void {
    this.lines.push(`add ${kind} ${path}${link === '' ? '' : ` -> ${link}`}`)
  }

  data(chunk: Buffer, position: number): void {
    this.lines.push(`data ${chunk.toString('latin1')} at ${position}`)
  }

  end(): void {
    this.lines.push('end')
  }

  remove(path: string): void {
    this.lines.push(`remove ${path}`)
  }

  opaque(path: string): void {
    this.lines.push(`opaque ${path}`)
  }

  discard(path: string): void {
    this.lines.push(`discard ${path}`)
  }
}

function decode(...members: readonly Buffer[]): {changes: string[]; warnings: Warning[]} {
  const log = new Log()
  const warnings: Warning[] = []
  const decoder = new ChangeDecoder(log, (warning) => warnings.push(warning))
  const parser = new TarParser(decoder, defaultLimits)
  parser.write(tar(...members))
  parser.finish()
  decoder.finish()
  return {changes: log.lines, warnings}
}

const changesOf = (...members: readonly Buffer[]) => decode(...members).changes

test('entries are additions, with their content', (t) => {
  t.deepEqual(changesOf(directory('d'), file('d/f', 'abc'), symlink('s', '../t'), hardlink('h', 'd/f')), [
    'add directory d',
    'end',
    'add file d/f',
    'data abc at 0',
    'end',
    'add symlink s -> ../t',
    'end',
    'add hardlink h -> d/f',
    'end',
  ])
})

for (const [name, change] of [
  ['.wh.a', 'remove a'],
  ['d/.wh.a', 'remove d/a'],
  ['.wh..a', 'remove .a'],
  ['.wh.....', 'remove ....'],
  ['.wh.\xff\n', 'remove \xff\n'],
  ['.wh.wh.a', 'remove wh.a'],
  [`.wh.${'x'.repeat(96)}`, `remove ${'x'.repeat(96)}`],
  ['.wh..wh..opq', 'opaque '],
  ['d/e/.wh..wh..opq', 'opaque d/e'],
] as const) {
  test(`${JSON.stringify(name)} is: ${JSON.stringify(change)}`, (t) => {
    t.deepEqual(decode(file(name)), {changes: [change], warnings: []})
    t.is(whiteoutKind(name), change.split(' ')[0] as 'remove' | 'opaque')
  })

  test(`${JSON.stringify(name)} is a whiteout by its name alone, whatever its kind and content`, (t) => {
    const kinds = [
      directory(name),
      directory(`${name}/`),
      symlink(name, '/etc'),
      hardlink(name, '.wh..wh.aufs'),
      member({name, type: '3'}),
      member({name, type: '6'}),
      file(name, 'content that goes nowhere'),
    ]
    for (const entry of kinds) t.deepEqual(changesOf(entry), [change])
  })
}

for (const name of ['.wh.', '.wh..', '.wh...', 'd/.wh.', 'd/.wh..', 'd/e/.wh...']) {
  test(`the whiteout ${name}, which would delete a directory itself or the one above, is refused`, (t) => {
    t.like(
      t.throws(() => changesOf(file('before'), file(name))),
      {code: 'WHITEOUT_INVALID', details: {entry: name}},
    )
  })
}

for (const name of ['.wh.d/f', 'a/.wh.d/f', '.wh.d/.wh.f', '.wh..wh..opq/f', '.wh..wh.other/f', 'a/.wh..wh.plnk/f']) {
  test(`an entry below a whiteout is refused: ${name}`, (t) => {
    t.throws(() => changesOf(file(name)), {code: 'WHITEOUT_INVALID'})
  })
}

for (const name of ['a.wh.b', 'wh.a', '.wh', '.whx', '.WH.a', 'a/.wh', 'd.wh.x/f']) {
  test(`${name} is an ordinary name`, (t) => {
    t.deepEqual(changesOf(file(name)), [`add file ${name}`, 'end'])
    t.is(whiteoutKind(name), undefined)
  })
}

test('content of a whiteout does not end up in the file before it', (t) => {
  t.deepEqual(changesOf(file('f', 'abc'), file('.wh.a', 'def')), ['add file f', 'data abc at 0', 'end', 'remove a'])
})

test("aufs' own names at the root are ignored in silence", (t) => {
  const names = [file('.wh..wh.aufs'), directory('.wh..wh.orph'), directory('.wh..wh.plnk')]
  t.deepEqual(decode(...names), {changes: [], warnings: []})
})

test('what aufs kept of deleted files is ignored', (t) => {
  t.deepEqual(changesOf(directory('.wh..wh.orph'), file('.wh..wh.orph/0000', 'orphan')), [])
})

for (const name of ['.wh..wh.other', '.wh..wh.', 'd/.wh..wh.aufs', 'd/.wh..wh.plnk']) {
  test(`the unknown aufs name ${name} is ignored with a warning, and is no whiteout`, (t) => {
    const {changes, warnings} = decode(file(name))
    t.deepEqual(changes, [])
    t.like(warnings, [{code: 'WHITEOUT_UNKNOWN', entry: name}])
    t.is(whiteoutKind(name), undefined)
  })
}

test("hard links to aufs' pseudo links get the file that lies there", (t) => {
  const changes = changesOf(
    directory('.wh..wh.plnk'),
    file('.wh..wh.plnk/17.42', 'abc'),
    hardlink('a', '.wh..wh.plnk/17.42'),
    hardlink('d/b', '/.wh..wh.plnk/17.42'),
  )
  const aside = changes.at(-1)!.replace('discard ', '')
  t.deepEqual(changes, [
    `add file ${aside}/17.42`,
    'data abc at 0',
    'end',
    `add hardlink a -> ${aside}/17.42`,
    'end',
    `add hardlink d/b -> ${aside}/17.42`,
    'end',
    `discard ${aside}`,
  ])
})

test('no entry of a layer can have the name under which pseudo links wait', (t) => {
  const aside = changesOf(file('.wh..wh.plnk/1')).at(-1)!.replace('discard ', '')
  t.throws(() => changesOf(file(`${aside}/1`)), {code: 'WHITEOUT_INVALID'})
  t.false(changesOf(file(aside)).some((line) => line.startsWith('add')))
})

test('only files wait among the pseudo links', (t) => {
  t.deepEqual(changesOf(directory('.wh..wh.plnk/d'), symlink('.wh..wh.plnk/s', '/etc')), [])
})
