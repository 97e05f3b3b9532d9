import {type ChildProcess, execFileSync, fork} from 'node:child_process'
import {once} from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {ConfinedRoot} from '../../src/driver/confined-root.ts'
import {copyTree} from '../../src/driver/copy-tree.ts'
import {InPlace} from '../../src/driver/in-place.ts'
import {readPrivileges} from '../../src/driver/privileges.ts'
import {listDirectory} from '../../src/driver/remove.ts'
import {Sentinel, sentinelMark} from '../harness/sentinel.ts'
import type {Attack, Hits} from '../harness/swap-attacker.ts'
import {describeTree} from '../helpers/describe-tree.ts'
import {add, isRoot, scratch} from '../helpers/layers.ts'

const {O_DIRECTORY, O_NOFOLLOW} = fs.constants

/** Opens both sides and copies; the copy is new. */
function copy(from: string, to: string): void {
  fs.mkdirSync(to, {mode: 0o700})
  const opened: number[] = []
  try {
    for (const directory of [from, to]) opened.push(fs.openSync(directory, O_DIRECTORY | O_NOFOLLOW))
    copyTree(opened[0]!, opened[1]!)
  } finally {
    for (const descriptor of opened) fs.closeSync(descriptor)
  }
}

test('a copy is the same: modes, times, links, holes, fifos, names of any bytes', (t) => {
  const folder = scratch(t)
  const from = path.join(folder, 'from')
  fs.mkdirSync(path.join(from, 'a/b'), {recursive: true})
  fs.writeFileSync(path.join(from, 'a/file'), 'content', {mode: 0o640})
  fs.chmodSync(path.join(from, 'a/file'), 0o4751)
  fs.linkSync(path.join(from, 'a/file'), path.join(from, 'a/b/again'))
  fs.writeFileSync(path.join(from, 'empty'), '')
  fs.writeFileSync(path.join(from, 'large'), Buffer.alloc(3_000_001, 'large '))
  fs.truncateSync(path.join(from, 'empty'), 1 << 22)
  const sparse = fs.openSync(path.join(from, 'sparse'), 'w')
  fs.writeSync(sparse, 'in the middle', 1 << 20)
  fs.ftruncateSync(sparse, 1 << 21)
  fs.closeSync(sparse)
  fs.symlinkSync('../nowhere', path.join(from, 'a/link'))
  fs.writeFileSync(Buffer.from(`${from}/\xff\n`, 'latin1'), 'odd')
  execFileSync('mkfifo', [path.join(from, 'fifo')])
  fs.mkdirSync(path.join(from, 'sticky'))
  fs.chmodSync(path.join(from, 'sticky'), 0o1777)
  if (isRoot) {
    fs.lchownSync(path.join(from, 'a/link'), 1, 2)
    fs.chownSync(path.join(from, 'a/b'), 3, 4)
    execFileSync('mknod', [path.join(from, 'null'), 'c', '1', '3'])
  }
  for (const [at, name] of ['a/b/again', 'large', 'a/b', 'a', ''].entries())
    fs.utimesSync(path.join(from, name), 1, 1_000_000_000.5 + at)
  fs.lutimesSync(path.join(from, 'a/link'), 1, -5)
  copy(from, path.join(folder, 'to'))
  t.deepEqual(describeTree(path.join(folder, 'to')), describeTree(from))
  const blocks = (tree: string) => ['large', 'sparse', 'empty'].map((name) => fs.statSync(path.join(tree, name)).blocks)
  t.deepEqual(blocks(path.join(folder, 'to')), blocks(from))
})

test('a very deep tree, as one path can make it, is copied on one way', (t) => {
  const folder = scratch(t)
  for (const name of ['from', 'to']) fs.mkdirSync(path.join(folder, name))
  const [from, to] = ['from', 'to'].map((name) => fs.openSync(path.join(folder, name), 'r'))
  const changes = new InPlace(from!, readPrivileges(), {onWarning: () => {}})
  const deep = 'd/'.repeat(4000)
  // Coming back from below leads past the levels that are held open.
  const side = 'd/'.repeat(30)
  for (const name of [`${deep}f`, `${side}a/f`, `${side}z/f`]) add(changes, {path: name}, name)
  changes.finish()
  changes.close()
  copyTree(from!, to!)
  const copied = new ConfinedRoot(to!, {onImplied: () => {}, beforeLooking: () => {}, beforeClosing: () => {}})
  for (const name of [deep, `${side}a/`, `${side}z/`]) {
    const place = copied.findDirectly(name.slice(0, -1))
    t.deepEqual(listDirectory(place!.descriptor), ['f'])
  }
  copied.close()
  for (const descriptor of [from!, to!]) fs.closeSync(descriptor)
})

test('a deep tree is copied with few descriptors', (t) => {
  const folder = scratch(t)
  const deep = path.join('d/'.repeat(500), 'file')
  fs.mkdirSync(path.join(folder, 'from', path.dirname(deep)), {recursive: true})
  fs.writeFileSync(path.join(folder, 'from', deep), 'deep')
  copy(path.join(folder, 'from'), path.join(folder, 'to'))
  t.is(fs.readFileSync(path.join(folder, 'to', deep), 'utf8'), 'deep')
})

test('links that take the place of directories meanwhile lead out of neither side', async (t) => {
  const folder = scratch(t)
  const sentinel = new Sentinel(path.join(folder, 'outside'))
  const place = path.join(folder, 'place')
  for (let at = 0; at < 10; at++) {
    fs.mkdirSync(path.join(place, `tree-from/folder-${at}/below`), {recursive: true})
    for (let number = 0; number < 10; number++)
      fs.writeFileSync(path.join(place, `tree-from/folder-${at}/below/${number}`), 'x')
  }
  fs.symlinkSync(sentinel.path, path.join(folder, 'way-out-0'))
  fs.symlinkSync(path.join(sentinel.path, 'a/b'), path.join(folder, 'way-out-1'))
  const attacker = await attack({place, victims: 'tree-', links: path.join(folder, 'way-out-'), linkCount: 2, seed: 1})
  let refused = 0
  for (let run = 0; run < 5; run++) {
    try {
      copy(path.join(place, 'tree-from'), path.join(place, `tree-${run}`))
    } catch {
      refused++
    }
  }
  attacker.send('how many?')
  const [{swaps}] = (await once(attacker, 'message')) as [Hits]
  attacker.disconnect()
  await once(attacker, 'exit')
  t.true(swaps > 0)
  t.log(`${swaps} swaps, ${refused} of 5 copies refused`)
  t.deepEqual(sentinel.changes(), [])
  const copied = fs.readdirSync(place, {recursive: true, encoding: 'utf8'})
  t.deepEqual(
    copied.filter((name) => name.endsWith(sentinelMark)),
    [],
  )
})

async function attack(what: Attack): Promise<ChildProcess> {
  const attacker = fork(new URL('../harness/swap-attacker.ts', import.meta.url), [JSON.stringify(what)])
  await once(attacker, 'message')
  return attacker
}
