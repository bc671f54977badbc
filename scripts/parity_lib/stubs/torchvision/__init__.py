"""The four functions of torchvision that the reference calls, for machines where no torchvision matches the installed
torch. They follow torchvision's CPU code in what decides a result; nothing else of torchvision is here."""
