import {setImmediate} from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import {NameTree, none} from '../../src/layer/name-tree.ts'

/** A path of one or two names to add or to remove; names of all lengths, the empty one aside. */
const name = fc.oneof(
  fc.constantFrom('a', 'b', 'c', '\xff', '__proto__'),
  fc.integer({min: 1, max: 600}).map((n) => 'n'.repeat(n)),
)
const steps = fc.array(fc.record({path: fc.array(name, {minLength: 1, maxLength: 3}), removes: fc.boolean()}), {
  maxLength: 60,
})

function find(tree: NameTree, path: readonly string[]): number {
  return path.reduce((at, text) => (at === none ? none : tree.find(at, text)), NameTree.root as number)
}

function paths(tree: NameTree, at: number = NameTree.root): string[] {
  return tree.children(at).flatMap((child) => [tree.path(child), ...paths(tree, child)])
}

test('names are what a set of paths would be', (t) => {
  fc.assert(
    fc.property(steps, (list) => {
      const tree = new NameTree()
      let model = new Set<string>()
      for (const {path, removes} of list) {
        const whole = path.join('/')
        const known = find(tree, path)
        t.is(known !== none, model.has(whole))
        if (removes && known !== none) {
          const removed: string[] = []
          tree.remove(known, (gone) => removed.push(tree.path(gone)))
          const isBelow = (each: string) => each === whole || each.startsWith(`${whole}/`)
          t.deepEqual(removed.toSorted(), [...model].filter(isBelow).toSorted())
          model = new Set([...model].filter((each) => !isBelow(each)))
        } else if (!removes) {
          path.reduce((at, text) => {
            const there = tree.find(at, text)
            return there === none ? tree.add(at, text) : there
          }, NameTree.root as number)
          for (let depth = 1; depth <= path.length; depth++) model.add(path.slice(0, depth).join('/'))
        }
        t.deepEqual(paths(tree).toSorted(), [...model].toSorted())
      }
    }),
  )
})

test('many names, some removed and added again, are all found', (t) => {
  const tree = new NameTree()
  const nameOf = (n: number) => `${'x'.repeat(n % 40)}${n}`
  const numbers = Array.from({length: 20_000}, (_, n) => tree.add(NameTree.root, nameOf(n)))
  for (let n = 0; n < 20_000; n += 2) tree.remove(numbers[n]!, () => {})
  for (let n = 0; n < 20_000; n += 4) tree.add(NameTree.root, nameOf(n))
  const found = numbers.filter((_, n) => tree.find(NameTree.root, nameOf(n)) !== none)
  t.is(found.length, 15_000)
  t.is(tree.children(NameTree.root).length, 15_000)
  t.is(tree.text(tree.find(NameTree.root, nameOf(19_999))), nameOf(19_999))
})

test('names are sorted by bytes', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(name, {maxLength: 30}), (list) => {
      const tree = new NameTree()
      const directory = tree.add(NameTree.root, 'd')
      for (const text of list) tree.add(directory, text)
      t.deepEqual(
        tree.sorted(directory).map((each) => tree.text(each)),
        list.toSorted(),
      )
    }),
  )
})

test('a name may be longer than a page', (t) => {
  const tree = new NameTree()
  const long = 'n'.repeat(1_000_000)
  const added = [tree.add(NameTree.root, 'before'), tree.add(NameTree.root, long), tree.add(NameTree.root, 'behind')]
  const texts = added.map((each) => tree.text(each))
  t.deepEqual([texts[0], texts[2]], ['before', 'behind'])
  t.true(texts[1] === long)
  t.is(tree.find(NameTree.root, long), added[1]!)
})

test('a name that is removed and comes again costs the same each time, however many others there are', async (t) => {
  t.timeout(20_000)
  const tree = new NameTree()
  for (let at = 0; at < 400_000; at++) tree.add(NameTree.root, `other-${at}`)
  for (let at = 0; at < 300_000; at++) {
    tree.remove(tree.add(NameTree.root, 'same'), () => {})
    // Only between two turns of the event loop can time run out.
    if (at % 1000 === 0) await setImmediate()
  }
  t.is(tree.find(NameTree.root, 'same'), none)
  t.is(tree.children(NameTree.root).length, 400_000)
})
