#include <stdio.h>

int main(void)
{
    printf("fovea %s\n", FOVEA_VERSION);
    return 0;
}
