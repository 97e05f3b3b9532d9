import {truncateSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {AufsDriver} from '../../src/driver/aufs.ts'
import {scratch} from '../helpers/image.ts'

const place = (number: number) => String(number).padStart(64, '0')

test('a place knows all that lie below it, however many', (t) => {
  const store = scratch(t)
  using driver = new AufsDriver(store)
  const all = Array.from({length: 1100}, (_, number) => place(number))
  for (const id of all) {
    driver.create(id, undefined)
    driver.release(id)
  }
  const [top = '', ...below] = all
  writeFileSync(join(store, 'aufs/layers', top), below.map((id) => `${id}\n`).join(''))
  t.deepEqual(driver.parents(top), below)
})

test('a list that is no list is refused before it is read', (t) => {
  const store = scratch(t)
  using driver = new AufsDriver(store)
  driver.create(place(0), undefined)
  const list = join(store, 'aufs/layers', place(0))
  writeFileSync(list, '')
  truncateSync(list, 2 ** 40)
  t.throws(() => driver.parents(place(0)), {code: 'STORE_INVALID', message: /has more than 1048576 bytes/})
})
