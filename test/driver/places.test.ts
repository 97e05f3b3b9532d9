import {mkdirSync, symlinkSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {Places} from '../../src/driver/places.ts'
import {scratch} from '../helpers/image.ts'

test('a directory that could not be made is taken for none that was closed on the way to it', (t) => {
  const [store, elsewhere] = [scratch(t), scratch(t)]
  mkdirSync(join(store, 'vfs'))
  symlinkSync(elsewhere, join(store, 'vfs/dir'))
  using places = new Places(store, 'vfs', 'dir')
  for (const use of [() => places.make(), () => places.find(), () => places.make()])
    t.throws(use, {code: 'STORE_INVALID'})
})
