import test from 'ava'
import {dropEmptyLayers, withPlatform} from '../../src/image/better-config.ts'

const config = (rootfs: string, history: string) =>
  `{"architecture":"amd64","config":{"Memory":1.50,"Env":["A=\\u003c"]},"history":${history},"rootfs":${rootfs}, "x":1e2}`

test('empty layers go, and their steps are marked', (t) => {
  const before = config(
    '{"type":"layers","diff_ids":["a","b","c"]}',
    '[{"created_by":"1"},{"created_by":"0","empty_layer":true},{"empty_layer":false,"created_by":"2"},{"created_by":"3"}]',
  )
  const after = config(
    '{"type":"layers","diff_ids":["a","c"]}',
    '[{"created_by":"1"},{"created_by":"0","empty_layer":true},{"created_by":"2","empty_layer":true},{"created_by":"3"}]',
  )
  t.is(dropEmptyLayers(Buffer.from(before), [false, true, false]).toString(), after.replace(', "x"', ',"x"'))
})

test('a config without empty layers is the same bytes', (t) => {
  const bytes = Buffer.from(config('{"diff_ids":["a"]}', ' [ ] '))
  t.is(dropEmptyLayers(bytes, [false]), bytes)
})

test('a history that does not fit the layers stays', (t) => {
  const before = config('{"diff_ids":["a","b"]}', '[{"created_by":"1"}]')
  t.regex(dropEmptyLayers(Buffer.from(before), [true, false]).toString(), /"history":\[\{"created_by":"1"\}\]/)
  t.regex(dropEmptyLayers(Buffer.from(config('{"diff_ids":["a"]}', 'null')), [true]).toString(), /"history":null/)
})

test('a config gets the platform that it does not say', (t) => {
  const platform = {os: 'linux', architecture: 'amd64'}
  const add = (config: string) => withPlatform(Buffer.from(config), platform).toString()
  const whole = '{"architecture":"amd64","config":{"Memory":1.50},"os":"linux"}'
  t.is(add('{"config":{"Memory":1.50}}'), whole)
  t.is(add('{"architecture":"x86_64","config":{"Memory":1.50},"os":""}'), whole)
  t.is(add(whole), whole)
})
