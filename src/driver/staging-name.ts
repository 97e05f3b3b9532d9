/** Names of what a run makes beside its target until it is complete. */
import {randomBytes} from 'node:crypto'

const mark = 'imgtool-'

/** Longest name that leaves room for the mark and its digits within NAME_MAX. */
const maximumStem = 200

/** A new name for a target's name; empty where what is staged is not beside its target. */
export function stagingName(target: string): string {
  return stem(target) + randomBytes(6).toString('hex')
}

/** Whether {@link stagingName} made the name for this target. */
export function isStagingName(name: string, target: string): boolean {
  return name.startsWith(stem(target)) && /^[0-9a-f]{12}$/.test(name.slice(stem(target).length))
}

function stem(target: string): string {
  if (target === '') return mark
  const cut = Buffer.from(target).subarray(0, maximumStem).toString()
  return `${cut.replace(/\ufffd+$/, '')}.${mark}`
}
