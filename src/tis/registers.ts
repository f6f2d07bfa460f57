/**
 * The registers of one TIS locality. The page repeats for localities 0 to 4, each 4 KiB further on.
 * Source: the register tables of TCG PC Client TIS 1.3 (TPM 1.2) and of the TCG PC Client Platform
 * TPM Profile (PTP) for TPM 2.0, whose names these are.
 * @module
 */
import { bit, bits, reg, registerMap, slots } from '../mmio/regmap.js';

/** Where a PC has the TIS in its address space. */
export const TIS_BASE = 0xfed4_0000;
export const LOCALITIES = 5;
/** Bytes of address space for each locality, and for all of them. */
export const LOCALITY_SPACE = 0x1000;
export const TIS_SPACE = LOCALITIES * LOCALITY_SPACE;

/** What the bus reads where there is no register; also the mask of a value of `size` bytes: 1, 2 or 4. */
export function ones(size: number): number {
  if (size === 1) return 0xff;
  return size === 2 ? 0xffff : 0xffff_ffff;
}

/** The version of the TPM behind the registers. */
export type Personality = '1.2' | '2.0';

// biome-ignore format: table
export const TIS = registerMap(LOCALITY_SPACE, {
  ACCESS: reg({ offset: 0x000, bytes: 1, reads: 'any', writes: 'any',
    about: 'Which locality uses the TPM. A Seize hides the other requests of the same write.' }, {
    tpmEstablishment:  bit(0, 'ro', 'Active low: 0 once a dynamic launch has run.', 1),
    requestUse:        bit(1, 'strobe', 'Requests the TPM; reads 1 while waiting for it.'),
    pendingRequest:    bit(2, 'ro', 'Another locality is waiting.'),
    seize:             bit(3, 'strobe', 'Takes the TPM from a lower locality. Reads 0.'),
    beenSeized:        bit(4, 'w1c', 'The TPM was taken from this locality.'),
    activeLocality:    bit(5, 'strobe', 'This locality has the TPM; writing 1 releases it, or withdraws a request.'),
    tpmRegValidSts:    bit(7, 'ro', 'The other bits are valid: always.', 1),
  }),

  INT_ENABLE: reg({ offset: 0x008, bytes: 4, reads: 'any', writes: 'active',
    about: 'Which events interrupt. Each locality has its own.' }, {
    dataAvailIntEnable:       bit(0, 'rw', 'A response can be read.'),
    stsValidIntEnable:        bit(1, 'rw', 'STS.stsValid was set, or the last byte was read.'),
    localityChangeIntEnable:  bit(2, 'rw', 'This locality got the TPM.'),
    typePolarity:             bits(4, 3, 'rw', 'Kept, without effect: the line is a level.', 0b01),
    commandReadyEnable:       bit(7, 'rw', 'The TPM is ready for a command.'),
    globalIntEnable:          bit(31, 'rw', 'Nothing interrupts without it.'),
  }),

  INT_VECTOR: reg({ offset: 0x00c, bytes: 1, reads: 'any', writes: 'none',
    about: 'The interrupt that the line is wired to.' }, {
    sirqVec: bits(3, 0, 'ro', 'Set where the device is wired.', 5),
  }),

  INT_STATUS: reg({ offset: 0x010, bytes: 4, reads: 'any', writes: 'active',
    about: 'Which events have interrupted. Each locality has its own.' }, {
    dataAvailIntOccured:      bit(0, 'w1c', 'As in INT_ENABLE.'),
    stsValidIntOccured:       bit(1, 'w1c', 'As in INT_ENABLE.'),
    localityChangeIntOccured: bit(2, 'w1c', 'As in INT_ENABLE.'),
    commandReadyIntOccured:   bit(7, 'w1c', 'As in INT_ENABLE.'),
  }),

  INTF_CAPABILITY: reg({ offset: 0x014, bytes: 4, reads: 'any', writes: 'none',
    about: 'What this interface can do.' }, {
    dataAvailIntSupport:      bit(0, 'ro', 'Has this interrupt.', 1),
    stsValidIntSupport:       bit(1, 'ro', 'Has this interrupt.', 1),
    localityChangeIntSupport: bit(2, 'ro', 'Has this interrupt.', 1),
    interruptLevelHigh:       bit(3, 'ro', 'Not offered.'),
    interruptLevelLow:        bit(4, 'ro', 'The only mandatory one.', 1),
    interruptEdgeRising:      bit(5, 'ro', 'Not offered.'),
    interruptEdgeFalling:     bit(6, 'ro', 'Not offered.'),
    commandReadyIntSupport:   bit(7, 'ro', 'Has this interrupt.', 1),
    burstCountStatic:         bit(8, 'ro', 'The burst count changes.'),
    dataTransferSizeSupport:  bits(10, 9, 'ro', 'Transfers of up to 64 bytes.', 3),
    interfaceVersion:         bits(30, 28, 'ro', '2: TIS 1.3 (TPM 1.2). 3: PTP (TPM 2.0).', 2),
  }),

  STS: reg({ offset: 0x018, bytes: 4, reads: 'active', writes: 'active',
    about: 'The command. Of commandReady, tpmGo and responseRetry a write may set only one.' }, {
    responseRetry:          bit(1, 'strobe', 'Lets the response be read again.'),
    selfTestDone:           bit(2, 'ro', 'TPM_ContinueSelfTest has succeeded.'),
    expect:                 bit(3, 'ro', 'The command is not complete yet.'),
    dataAvail:              bit(4, 'ro', 'A byte of the response is left.'),
    tpmGo:                  bit(5, 'strobe', 'Runs the command.'),
    commandReady:           bit(6, 'strobe', 'The TPM is ready; writing 1 aborts, and makes it ready.'),
    stsValid:               bit(7, 'ro', 'expect and dataAvail are valid.'),
    burstCount:             bits(23, 8, 'ro', 'Bytes that can be read or written before STS is read again. A read of one byte shows at most 255.'),
    commandCancel:          bit(24, 'strobe', 'TPM 2.0: ends the running command early.'),
    resetEstablishmentBit:  bit(25, 'strobe', 'TPM 2.0, localities 3 and 4: clears the establishment flag.'),
    tpmFamily:              bits(27, 26, 'ro', '0: TPM 1.2. 1: TPM 2.0.'),
  }),

  HASH_END: reg({ offset: 0x020, bytes: 4, reads: 'none', writes: 'locality 4',
    about: 'Ends a dynamic launch measurement, whatever is written; releases the TPM. Decoded at its first byte only.' }, {}),

  DATA_FIFO: reg({ offset: 0x024, bytes: 4, reads: 'active', writes: 'active',
    about: 'Command in, response out, lowest byte first. In locality 4, between HASH_START and HASH_END: HASH_DATA.' }, {}),

  HASH_START: reg({ offset: 0x028, bytes: 4, reads: 'none', writes: 'locality 4',
    about: 'Starts a dynamic launch measurement, whatever is written, unless another locality has the TPM. Decoded at its first byte only.' }, {}),

  INTERFACE_ID: reg({ offset: 0x030, bytes: 4, reads: 'any', writes: 'any',
    about: 'Which interfaces there are. TPM 2.0 only: reads all ones on TPM 1.2.' }, {
    interfaceType:      bits(3, 0, 'ro', '0: FIFO (this one).'),
    interfaceVersion:   bits(7, 4, 'ro', '0: the FIFO interface of the PTP.'),
    capLocality:        bit(8, 'ro', 'Five localities.', 1),
    capFIFO:            bit(13, 'ro', 'The FIFO interface is present.', 1),
    capCRB:             bit(14, 'ro', 'The CRB interface is not present.'),
    interfaceSelector:  bits(18, 17, 'ro', 'There is nothing to select.'),
    intfSelLock:        bit(19, 'w1s', 'Locks the selector until reset, in all localities.'),
  }),

  XDATA_FIFO: reg({ offset: 0x080, bytes: 4, span: 0x40, reads: 'active', writes: 'active',
    about: 'DATA_FIFO again, over 64 bytes.' }, {}),

  DID_VID: reg({ offset: 0xf00, bytes: 4, reads: 'any', writes: 'none',
    about: 'Vendor and device.' }, {
    vid: bits(15, 0, 'ro', 'IBM, as in QEMU: drivers know it.', 0x1014),
    did: bits(31, 16, 'ro', 'The first of its kind.', 0x0001),
  }),

  RID: reg({ offset: 0xf04, bytes: 1, reads: 'any', writes: 'none',
    about: 'The revision.' }, {
    rid: bits(7, 0, 'ro', 'The first.', 1),
  }),
});

export type RegisterName = keyof typeof TIS;

/** For every aligned 4 bytes of a locality, the register that lies there. */
export const SLOTS: readonly (RegisterName | undefined)[] = slots(LOCALITY_SPACE, TIS);
