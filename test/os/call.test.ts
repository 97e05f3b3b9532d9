import {constants} from 'node:os'
import test from 'ava'
import {systemCall} from '../../src/os/call.ts'

const {EAGAIN, EISDIR, ENOENT} = constants.errno

/** A call that always fails, and what errno says each time that it is read. */
function failing(...said: number[]) {
  let calls = 0
  const call = systemCall(
    () => {
      calls++
      return -1
    },
    () => said[calls - 1] ?? said.at(-1)!,
  )
  return {ask: () => call(), calls: () => calls}
}

test('a call that succeeds is made once, with its arguments', (t) => {
  const seen: unknown[] = []
  const call = systemCall((...args) => seen.push(args) + 6)
  t.is(call(3, 4), 7)
  t.deepEqual(seen, [[3, 4]])
})

test('a call that fails says why when it was said twice', (t) => {
  const {ask, calls} = failing(EISDIR)
  t.is(ask(), -EISDIR)
  t.is(calls(), 2)
})

for (const [name, said] of Object.entries({
  first: [EAGAIN, EISDIR],
  second: [EISDIR, ENOENT, EISDIR],
  'several times': [EAGAIN, ENOENT, EISDIR],
})) {
  test(`what comes from elsewhere is not believed, ${name}`, (t) => {
    t.is(failing(...said).ask(), -EISDIR)
  })
}

test('asking has an end', (t) => {
  const {ask, calls} = failing(1, 2, 1, 2, 1, 2, 1, 2, 1, 2)
  t.true(ask() < 0)
  t.is(calls(), 8)
})

test('64 bit results are numbers', (t) => {
  t.is(systemCall(() => 2n ** 40n)(), 2 ** 40)
})
