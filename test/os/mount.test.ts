import {constants} from 'node:os'
import test from 'ava'
import {close} from '../../src/os/libc.ts'
import {
  createFileSystem,
  KernelLog,
  openFileSystem,
  readMessages,
  setFlag,
  setOption,
  unmount,
} from '../../src/os/mount.ts'

const {EINVAL, ENODEV, ENOENT, EPERM} = constants.errno

test('whoever may not mount is told so, before it matters what', (t) => {
  t.is(openFileSystem('no-such-file-system'), process.getuid?.() === 0 ? -ENODEV : -EPERM)
})

const context = openFileSystem('tmpfs')
const rootTest = context < 0 ? test.skip : test

test.after.always(() => {
  if (context >= 0) close(context)
})

rootTest('a context takes options, and says in words, and once, what it refuses', (t) => {
  t.is(setOption(context, 'size', '1m'), 0)
  t.is(setFlag(context, 'no-such-flag'), -EINVAL)
  const messages = readMessages(context)
  t.is(messages.length, 1)
  t.regex(messages[0] ?? '', /^tmpfs: .*no-such-flag/)
  t.deepEqual(readMessages(context), [])
  t.is(createFileSystem(context), 0)
})

rootTest('a place that is not there cannot be unmounted', (t) => {
  t.is(unmount('/no/such/place'), -ENOENT)
})

test('where the log of the kernel may not be read it is empty', (t) => {
  using log = new KernelLog()
  t.deepEqual(log.read('no such part of the kernel'), [])
})
