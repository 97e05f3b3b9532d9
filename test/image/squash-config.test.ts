import test from 'ava'
import {sha256} from '../../src/digest.ts'
import {squashConfig} from '../../src/image/squash-config.ts'

const ids = ['a', 'b', 'c'].map((name) => sha256(name))
const merged = sha256('merged')

/** A config whose steps leave a layer where there is an `x`. */
function config(steps: string): Buffer {
  const history = [...steps].map((mark, at) => ({
    created_by: `step ${at}`,
    ...(mark === 'x' ? {} : {empty_layer: true}),
  }))
  return Buffer.from(
    `{"big":12345678901234567890,"rootfs":{"type":"layers","diff_ids":${JSON.stringify(ids)}},"history":${JSON.stringify(history)}}`,
  )
}

function squash(steps: string, from: number): {marks: string; diffIDs: string[]; text: string} {
  const text = squashConfig(config(steps), from, ids.length, merged).toString()
  const {history, rootfs} = JSON.parse(text)
  const marks = history.map(({empty_layer: isEmpty}: {empty_layer?: boolean}) => (isEmpty ? '-' : 'x')).join('')
  return {marks, diffIDs: rootfs.diff_ids, text}
}

test('the last step with a layer carries the new one, those before it none', (t) => {
  t.like(squash('x-xx-', 0), {marks: '---x-', diffIDs: [merged]})
  t.like(squash('x-xx-', 1), {marks: 'x--x-', diffIDs: [ids[0], merged]})
  t.like(squash('x-xx-', 2), {marks: 'x-xx-', diffIDs: [ids[0], ids[1], merged]})
})

test('what does not speak of layers stays byte for byte', (t) => {
  t.true(squash('xxx', 0).text.startsWith('{"big":12345678901234567890,"rootfs":{"type":"layers",'))
})

test('a history that does not fit the layers stays as it is', (t) => {
  t.like(squash('xx', 0), {marks: 'xx', diffIDs: [merged]})
  const bare = Buffer.from(`{"rootfs":{"diff_ids":${JSON.stringify(ids)}}}`)
  t.deepEqual(JSON.parse(squashConfig(bare, 0, 3, merged).toString()), {rootfs: {diff_ids: [merged]}})
})
