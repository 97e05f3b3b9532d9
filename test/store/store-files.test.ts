import {chmodSync, symlinkSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {systemError} from '../../src/os/libc.ts'
import {openStoreFiles} from '../../src/store/open-files.ts'
import {chooseDriver} from '../../src/store/open-store.ts'
import {StoreFiles} from '../../src/store/store-files.ts'
import {write, writeDataRoot} from '../helpers/data-root.ts'
import {scratch} from '../helpers/image.ts'
import {withoutRoot} from '../helpers/without-root.ts'

/** Both ways to open a data-root: to look after it, and to read images and containers of it. */
const ways = [
  (root: string) => openStoreFiles(root, undefined),
  (root: string) => {
    const files = new StoreFiles(root)
    try {
      return chooseDriver(files, root, undefined)
    } finally {
      files.close()
    }
  },
]

test('what only root may read is not taken for what is no data-root', (t) => {
  const root = writeDataRoot(scratch(t), 'vfs', [{names: ['app:1'], layers: []}])
  const open = (path: string) => {
    for (const way of ways) {
      const error = t.throws(() => withoutRoot(() => way(root)))
      t.like(error, {code: 'PERMISSION_DENIED', details: {hint: 'Run it as root'}}, error?.message)
      t.true(error?.message.includes(`"${path}`), error?.message)
    }
  }
  chmodSync(root, 0o000)
  open(root)
  chmodSync(root, 0o755)
  chmodSync(join(root, 'image'), 0o000)
  open(join(root, 'image'))
  chmodSync(join(root, 'image'), 0o755)
})

test('what is missing is not said to be no directory, and the other way round', (t) => {
  const folder = scratch(t)
  write(join(folder, 'file'), '')
  symlinkSync('nowhere', join(folder, 'dangling'))
  const openings = {missing: /it is not there/, dangling: /it is not there/, file: /it is no directory/}
  for (const [name, message] of Object.entries(openings))
    t.throws(() => new StoreFiles(join(folder, name)), {code: 'SOURCE_NOT_FOUND', message})
})

test('a file system that cannot be written to is said to be one', (t) => {
  t.like(systemError('EROFS', 'make "x"'), {
    code: 'PERMISSION_DENIED',
    message: 'Cannot make "x": the file system is read-only',
  })
})
