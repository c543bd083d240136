/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PHY of QEMU's i8255x says whether its network is plugged in
 *
 * Copyright (c) 2026 the pydriver authors
 *
 * In hw/net/eepro100.c, of QEMU 7.2 to 10.0, the PHY's status register always
 * says that the link is up, so that no driver can notice QMP's set_link, which
 * e1000 and rtl8139 show. overlay.py has eepro100.c include this file, and
 * pass what a read of the status register gives through phy_status().
 */
#ifndef PYDRIVER_PHY_LINK_H
#define PYDRIVER_PHY_LINK_H

enum { /* [IEEE 802.3 22.2.4.2] */
    PHY_LINK_UP = 1 << 2,
    PHY_AUTONEGOTIATED = 1 << 5,
};

static uint16_t phy_status(EEPRO100State *s, uint16_t status)
{
    if (qemu_get_queue(s->nic)->link_down) {
        return status & ~(PHY_LINK_UP | PHY_AUTONEGOTIATED);
    }
    return status | PHY_LINK_UP;
}

#endif
