import {setImmediate} from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import {PathSet} from '../../src/driver/path-set.ts'

const path = fc.array(fc.constantFrom('a', 'b', 'ab'), {maxLength: 4}).map((names) => names.join('/'))
const steps = fc.array(fc.record({path, what: fc.constantFrom('add', 'delete', 'take', 'takeBelow')}), {maxLength: 40})

const isBelow = (path: string, directory: string) =>
  path !== directory && (directory === '' || path.startsWith(`${directory}/`))

test('a set of paths is one, and those below a path are taken before those above', (t) => {
  fc.assert(
    fc.property(steps, path, (list, asked) => {
      const set = new PathSet()
      const model = new Set<string>()
      for (const {path, what} of list) {
        const taken = set[what as 'take'](path) ?? []
        t.deepEqual(taken.toSorted(), step(model, what, path))
        for (const [at, each] of taken.entries()) t.false(taken.slice(at).some((later) => isBelow(later, each)))
      }
      t.is(set.has(asked), model.has(asked))
    }),
  )
})

/** @returns what is taken, sorted */
function step(model: Set<string>, what: string, path: string): string[] {
  if (what === 'add') model.add(path)
  if (what === 'delete') model.delete(path)
  if (!what.startsWith('take')) return []
  const taken = [...model].filter((each) => isBelow(each, path) || (each === path && what === 'take'))
  for (const each of taken) model.delete(each)
  return taken.toSorted()
}

test('what was never taken has all that is above it', (t) => {
  const set = new PathSet()
  set.add('a/b/c')
  t.deepEqual(
    ['', 'a', 'a/b', 'a/b/c', 'a/b/c/d', 'b'].map((each) => set.hasIn(each)),
    [true, true, true, true, false, false],
  )
  t.deepEqual(
    ['a/b', 'a/b/c'].map((each) => set.has(each)),
    [false, true],
  )
})

test('taking what is below one of many paths costs nothing of the others', async (t) => {
  t.timeout(20_000)
  const set = new PathSet()
  for (let at = 0; at < 200_000; at++) set.add(`d${at}/e`)
  let taken = 0
  for (let at = 0; at < 200_000; at++) {
    taken += set.take(`none${at}`).length + set.take(`d${at}`).length
    // Only between two turns of the event loop can time run out.
    if (at % 1000 === 0) await setImmediate()
  }
  t.is(taken, 200_000)
})
