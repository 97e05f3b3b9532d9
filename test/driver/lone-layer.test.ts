import fs from 'node:fs'
import path from 'node:path'
import {setImmediate} from 'node:timers/promises'
import test from 'ava'
import {makeLayerDirectory} from '../../src/driver/layer-directory.ts'
import {add, scratch} from '../helpers/layers.ts'

const options = {onWarning: () => {}}

test('deletions in a directory far below cost their names, not its depth times its depth', async (t) => {
  t.timeout(20_000)
  const target = path.join(scratch(t), 'layer')
  const layer = makeLayerDirectory(target, 'aufs', undefined, options)
  const [made, missing] = ['d/'.repeat(1500), 'e/'.repeat(1500)]
  add(layer.changes, {path: `${made}file`})
  for (let at = 0; at < 100; at++) {
    for (const directory of [made, missing]) layer.changes.remove(`${directory}gone-${at}`)
    // Only between two turns of the event loop can time run out.
    await setImmediate()
  }
  layer.commit()
  t.is(fs.readdirSync(path.join(target, made)).length, 101)
  t.is(fs.readdirSync(path.join(target, missing)).length, 100)
})

test('deletions go where the symlinks of their layer lead, through what is not there, too', (t) => {
  const target = path.join(scratch(t), 'layer')
  const layer = makeLayerDirectory(target, 'aufs', undefined, options)
  add(layer.changes, {path: 'a/link', kind: 'symlink', link: 'none/../../b'})
  add(layer.changes, {path: 'b/link', kind: 'symlink', link: '/none/below'})
  add(layer.changes, {path: 'a/file'})
  layer.changes.remove('a/link/gone')
  layer.changes.remove('b/link/gone')
  layer.changes.remove('a/file/gone')
  layer.commit()
  const found = fs.readdirSync(target, {recursive: true, encoding: 'utf8'})
  const marks = ['b/.wh.gone', 'none/below/.wh.gone']
  t.deepEqual(found.sort(), ['a', 'a/file', 'a/link', 'b', 'b/.wh.gone', 'b/link', 'none', 'none/below', marks[1]!])
})
